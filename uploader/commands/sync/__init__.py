"""`sync`: make a folder on the target like one of this disk."""
