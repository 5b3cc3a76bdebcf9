"""The control plane: moving etcd members and what stands on them, one by one."""
