"""Keys on the one lease of this process."""
