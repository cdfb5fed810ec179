"""`push`: put models on one target or several."""
