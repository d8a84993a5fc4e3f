"""Evaluation: what a worker does with one configuration."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from examples.sweep.grid import Config
from examples.sweep.tracker import Tracker
from iris_actor import iris_ctx

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one configuration.

    Attributes:
        config: the configuration.
        accuracy: the mean accuracy over the folds.
        spread: its standard deviation over the folds.
        seconds: how long it took.
        worker: name of the worker that finished it.
        pid: that worker's process.
        attempt: which attempt it was, from 1.
    """

    config: Config
    accuracy: float
    spread: float
    seconds: float
    worker: str
    pid: int
    attempt: int


@functools.cache
def digits() -> tuple[Any, Any]:
    """The 1,797 images, with values from 0 to 1, and what digit each shows. Read once a process."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images / 16.0, labels


def warm_up() -> None:
    """What each worker does before its first task."""
    digits()
    for make in _families().values():
        make()


def _families() -> dict[str, Callable[..., Any]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    return {
        "SVC": SVC,
        "random forest": functools.partial(RandomForestClassifier, random_state=0),
        "MLP": functools.partial(MLPClassifier, max_iter=25, random_state=0),
        "kNN": KNeighborsClassifier,
        "logistic regression": functools.partial(LogisticRegression, max_iter=300),
    }


def evaluate(config: Config) -> Outcome:
    """Cross-validate a model, and tell the tracker."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    context = iris_ctx()
    tracker = context.resolver.lookup("tracker", Tracker)
    worker, pid = context.job_id.name, os.getpid()
    attempt = tracker.call(timeout=30).started(config.index, worker, pid)
    begun = time.monotonic()
    images, labels = digits()
    model = _families()[config.family](**dict(config.params))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few passes are enough to compare
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        scores = cross_val_score(model, images, labels, cv=folds)
    accuracy = float(scores.mean())
    seconds = time.monotonic() - begun
    tracker.call(timeout=30).finished(config.index, attempt, accuracy)
    return Outcome(config, accuracy, float(scores.std()), seconds, worker, pid, attempt)
