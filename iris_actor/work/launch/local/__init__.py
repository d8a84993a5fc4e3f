"""The launcher that starts processes on this machine."""
