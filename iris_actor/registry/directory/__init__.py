"""The watched cache of one namespace."""
