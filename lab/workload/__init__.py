"""What runs on the lab's cluster: pods of the kinds that make a migration hard, as many as its profile has."""
