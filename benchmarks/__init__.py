"""Side-by-side benchmarks of iris-actor and its peers: `python -m benchmarks`, from the repository's root."""
