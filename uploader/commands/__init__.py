"""One package or module per verb."""
