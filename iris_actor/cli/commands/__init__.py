"""The commands, one a module: `iris-actor call` is `call.py`."""
