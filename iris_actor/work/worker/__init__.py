"""What runs inside a worker process, and what travels between it and its pool."""
