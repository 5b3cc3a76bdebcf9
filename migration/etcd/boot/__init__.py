"""What runs on a new member: read as a file, never imported by this program."""
