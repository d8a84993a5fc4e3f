"""What users see of a pool: the executor, its maps, and what happens at the exit of the interpreter."""
