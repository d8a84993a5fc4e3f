"""Learner: the actor that owns the weights."""

from __future__ import annotations

import numpy as np

from examples.parameter_server.cart_pole import MAX_STEPS, Array, returns

LEARNING_RATE = 0.05
GOOD = 0.98 * MAX_STEPS
FIRST_WEIGHTS = (0.0, 0.0, -0.3, -0.3)
"""A policy that pushes the wrong way: there is something to learn."""
_TEST_SEED = 12345


class Learner:
    """Applies gradients as they come, and says when the policy is good enough.

    It handles one call at a time, so it needs no lock.
    """

    def __init__(self, max_updates: int = 400) -> None:
        self._weights = np.array(FIRST_WEIGHTS)
        self._max_updates = max_updates
        self._curve: list[float] = [self._score()]

    def pull(self) -> tuple[int, Array]:
        """Number of updates so far, and the weights."""
        return len(self._curve) - 1, self._weights

    def push(self, version: int, gradient: Array) -> bool:
        """Apply a gradient that was estimated at `version`; whether there is more to learn."""
        if self._learning:
            staleness = len(self._curve) - 1 - version
            self._weights = self._weights + LEARNING_RATE / (1 + staleness) * gradient
            self._curve.append(self._score())
        return self._learning

    def curve(self) -> list[float]:
        """The mean return on the test episodes after each update."""
        return self._curve

    @property
    def _learning(self) -> bool:
        return self._curve[-1] < GOOD and len(self._curve) <= self._max_updates

    def _score(self) -> float:
        return float(returns(self._weights[None], seed=_TEST_SEED, episodes=16)[0])
