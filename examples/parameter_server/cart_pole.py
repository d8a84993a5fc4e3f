"""CartPole: a pole on a cart, many of them at a time, in numpy.

The dynamics are those of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult
learning control problems", 1983: the pole falls over at 12 degrees, the cart leaves its track at 2.4 m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STATE_SIZE = 4
MAX_STEPS = 500
"""Steps of an episode that was balanced to its end; its return, since each step is worth 1."""

_GRAVITY, _DT, _FORCE = 9.8, 0.02, 10.0
_CART, _POLE, _HALF_LENGTH = 1.0, 0.1, 0.5
_MAX_ANGLE, _MAX_POSITION = np.deg2rad(12), 2.4


def returns(policies: Array, seed: int, episodes: int = 4) -> Array:
    """The mean return of each linear policy over some episodes.

    Args:
        policies: one policy a row; a positive product with the state pushes to the right.
        seed: of the states that the episodes begin with, the same for all policies.
        episodes: how many.
    """
    starts = np.random.default_rng(seed).uniform(-0.05, 0.05, (episodes, STATE_SIZE))
    state = np.repeat(starts[None], len(policies), axis=0)
    weights = policies[:, None, :]
    alive = np.ones(state.shape[:2], dtype=bool)
    total = np.zeros(state.shape[:2])
    for _ in range(MAX_STEPS):
        total += alive
        force = np.where((state * weights).sum(axis=2) > 0, _FORCE, -_FORCE)
        state = _step(state, force)
        alive &= (np.abs(state[..., 0]) < _MAX_POSITION) & (np.abs(state[..., 2]) < _MAX_ANGLE)
        if not alive.any():
            break
        state[~alive] = 0  # those who fell stay where nothing overflows
    mean: Array = total.mean(axis=1)
    return mean


def _step(state: Array, force: Array) -> Array:
    position, velocity, angle, spin = np.moveaxis(state, -1, 0)
    sin, cos = np.sin(angle), np.cos(angle)
    mass = _CART + _POLE
    push = (force + _POLE * _HALF_LENGTH * spin**2 * sin) / mass
    angular = (_GRAVITY * sin - cos * push) / (_HALF_LENGTH * (4 / 3 - _POLE * cos**2 / mass))
    linear = push - _POLE * _HALF_LENGTH * angular * cos / mass
    moved: Array = np.stack(
        [position + _DT * velocity, velocity + _DT * linear, angle + _DT * spin, spin + _DT * angular],
        axis=-1,
    )
    return moved
