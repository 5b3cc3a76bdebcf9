"""Reading a running cluster by its tags, and writing the stack's configuration from what was found.

`inventory` reads AWS, `cluster_api` reads Kubernetes, `assemble` (pure) turns both into a configuration,
`ownership` (pure) says what the end of the migration deletes and what it leaves, `write` writes the file.
"""
