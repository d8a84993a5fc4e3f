"""Quickstart: an actor in one process, its caller in another."""
