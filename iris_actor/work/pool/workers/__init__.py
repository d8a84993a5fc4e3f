"""The worker processes of a pool: started, found, reached, ended."""
