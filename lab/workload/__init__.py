"""What runs on the lab's cluster: about 240 pods of the kinds that make a migration hard."""
