"""Grid: the configurations that the sweep tries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, product, zip_longest
from typing import Any


@dataclass(frozen=True, slots=True)
class Config:
    """One model to evaluate.

    Attributes:
        index: its number in the sweep.
        family: what kind of model it is.
        params: its hyperparameters, by scikit-learn's names.
    """

    index: int
    family: str
    params: tuple[tuple[str, Any], ...]

    @property
    def settings(self) -> str:
        """The hyperparameters, to be read."""
        return ", ".join(f"{name}={_short(value)}" for name, value in self.params)

    def __str__(self) -> str:
        return f"{self.family}({self.settings})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "SVC": {"gamma": (0.01, 0.03, 0.1, 0.3, 1.0), "C": (0.3, 1.0, 3.0, 10.0)},
    "random forest": {"max_depth": (4, 8, 16), "n_estimators": (20, 60, 120), "max_features": (4, 8)},
    "MLP": {
        "hidden_layer_sizes": ((32,), (64,), (64, 32)),
        "learning_rate_init": (0.003, 0.01),
        "alpha": (0.0001, 0.01, 0.3),
    },
    "kNN": {"n_neighbors": (1, 3, 5, 9, 15, 31), "weights": ("uniform", "distance")},
    "logistic regression": {"C": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)},
}
"""The families, and the values of each of their hyperparameters."""


def _family(name: str) -> Iterator[tuple[str, tuple[tuple[str, Any], ...]]]:
    grid = GRIDS[name]
    for values in product(*grid.values()):
        yield name, tuple(zip(grid, values, strict=True))


def grid_size() -> int:
    """How many configurations there are."""
    return sum(1 for name in GRIDS for _ in _family(name))


def make_grid(count: int) -> list[Config]:
    """The first `count` configurations, with the families in turn.

    Raises:
        ValueError: when there are not that many.
    """
    if not 1 <= count <= grid_size():
        raise ValueError(f"there are 1 to {grid_size()} configurations, asked for {count}")
    in_turn = chain.from_iterable(zip_longest(*map(_family, GRIDS)))
    chosen = [entry for entry in in_turn if entry is not None][:count]
    return [Config(index, family, params) for index, (family, params) in enumerate(chosen)]
