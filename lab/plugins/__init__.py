"""The lab's own Pulumi resource plugins: `aws` over boto3, `kubernetes` over server-side apply.

The engine finds the launchers in `bin/` and speaks `pulumirpc.ResourceProvider` with them. They answer to the same
tokens, property names and replacement rules as the official plugins, for the types this repository uses; whatever they
don't know is an error naming it.
"""
