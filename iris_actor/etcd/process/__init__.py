"""An etcd of one's own: the binary, the process, and what ends it with the program."""
