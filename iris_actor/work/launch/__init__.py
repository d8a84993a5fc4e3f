"""Starting processes, watching them, and passing on what they print."""
