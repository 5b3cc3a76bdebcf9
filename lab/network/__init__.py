"""The lab's network: what lies between machines. One asyncio process that knows AWS and Kubernetes by their APIs only."""
