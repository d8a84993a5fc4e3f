"""Pools on the command line: how they are found, and how they are shown."""
