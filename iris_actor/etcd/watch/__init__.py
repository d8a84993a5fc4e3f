"""Watches of a key, or of all keys with a prefix."""
