"""`doctor`: look at everything between this machine and a target."""
