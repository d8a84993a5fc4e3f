"""Rollout: what a worker does: pull the weights, try changes to them, push the gradient; again and again."""

from __future__ import annotations

import numpy as np

from examples.parameter_server.cart_pole import Array, returns
from examples.parameter_server.learner import Learner
from iris_actor import ActorPool

PAIRS = 16
SIGMA = 0.3


def rollout(learner: ActorPool[Learner], seed: int) -> int:
    """Work for `learner` until it has learned enough; returns how many gradients this worker pushed."""
    chance = np.random.default_rng(seed)
    pushed, more = 0, True
    while more:
        version, weights = learner.call(timeout=30).pull()
        gradient = estimate(weights, chance)
        more = learner.call(timeout=30).push(version, gradient)
        pushed += 1
    return pushed


def estimate(weights: Array, chance: np.random.Generator) -> Array:
    """A direction in which returns grow, from pairs of opposite changes."""
    changes = chance.normal(size=(PAIRS, weights.size))
    tried = np.concatenate([weights + SIGMA * changes, weights - SIGMA * changes])
    plus, minus = np.split(returns(tried, seed=int(chance.integers(2**31))), 2)
    difference = plus - minus
    spread = float(difference.std()) or 1.0
    gradient: Array = (difference[:, None] / spread * changes).mean(axis=0)
    return gradient
