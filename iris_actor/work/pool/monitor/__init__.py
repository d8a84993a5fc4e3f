"""What a pool looks like from outside: its status, its log, its monitor."""
