"""The `kubernetes` plugin: any kind, by server-side apply.

It does not wait for readiness as the official one does for some kinds, and generates no names.
"""
