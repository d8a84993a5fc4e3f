"""What stands around every process that we start: its secrets, its end, its limits, what it reports."""
