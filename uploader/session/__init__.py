"""What a verb works with: this person's state, and one target during one command."""
