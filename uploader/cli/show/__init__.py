"""Print what the verbs return."""
