"""The one seam between components, providers and operations: what an operation is given and gives back, as models.

A component builds an operation's inputs, the provider stores and compares them, the operation reads them. Nothing else
travels between the three.
"""
