"""What an operation runs in: its context, its deadline, and the lease that makes it the only one."""
