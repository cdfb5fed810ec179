"""A folder here and a folder there: scanned, listed, compared, and the difference as steps with reasons."""
