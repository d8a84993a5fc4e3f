"""Threads and forks: what no layer owns."""
