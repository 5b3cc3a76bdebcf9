"""Dynamic providers: thin adapters from Pulumi's create, diff and update to the operations of `migration/`.

Names of modules and classes here are state: the engine finds a provider by them. They are chosen once.
"""
