"""The lab's network: what lies between machines. It knows AWS and Kubernetes by their APIs only."""
