"""Moved to `iris_actor.threads.fork_guard`."""

from iris_actor.threads.fork_guard import ForkGuard

__all__ = ["ForkGuard"]
