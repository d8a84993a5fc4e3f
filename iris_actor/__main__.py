"""``python -m iris_actor``: the same as ``iris-actor``."""

from iris_actor.cli import main

if __name__ == "__main__":
    main()
