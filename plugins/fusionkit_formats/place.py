"""What is said of files that do not lie where they say."""

NO_PLACE = "what it says of its place in space is incomplete or none, and is left out"
"""A note on a file."""
