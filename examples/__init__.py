"""Examples of iris_actor. Run them from the folder above; each is run by a test."""
