"""`login` and `logout`: save and forget targets and tokens."""
