"""The restore drill: a snapshot that nobody has restored is a file, not a backup."""
