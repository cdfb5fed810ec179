"""`pull`: fetch files of a target to this disk."""
