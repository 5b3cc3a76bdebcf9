"""The lab's way to a cluster's API: one reading of kubeconfigs, a client that blocks, and one that follows."""
