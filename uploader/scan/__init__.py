"""Walk folders, of this disk and of a target."""
