"""The rights a migration needs: the table, policies made of it, and the question whether they are there."""
