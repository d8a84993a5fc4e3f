"""The output of processes: read, put into lines, and passed on."""
