"""The connection to an etcd: its endpoints, what failures mean, and whether it can be reached."""
