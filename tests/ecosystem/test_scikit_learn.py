"""scikit-learn with the joblib backend "iris": to the last bit what it computes in one process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import iris_actor.integrations.joblib  # noqa: F401 - registers the backend
from iris_actor import WorkerPool
from tests.support.waiting import PATIENCE, until

TIMES = ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return images[:300], labels[:300]


def both(pool: WorkerPool, compute: Callable[[int], Any]) -> tuple[Any, Any]:
    """What `compute(n_jobs)` gives in this process, and on the pool."""
    serial = compute(1)
    before = pool.status().tasks.done
    with parallel_config(backend="iris", pool=pool):
        parallel = compute(2)
    assert pool.status().tasks.done > before, "the pool was not used"
    return serial, parallel


def assert_same_search(one: Any, other: Any) -> None:
    """Both searches found the same, but for the time they took."""
    assert one.best_params_ == other.best_params_
    assert one.best_score_ == other.best_score_
    assert one.cv_results_.keys() == other.cv_results_.keys()
    for key in one.cv_results_.keys() - set(TIMES):
        np.testing.assert_array_equal(one.cv_results_[key], other.cv_results_[key])


def test_a_grid_search_finds_what_a_serial_one_finds(pool, digits):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    grid = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}

    def search(n_jobs: int) -> GridSearchCV:
        return GridSearchCV(model, grid, cv=3, n_jobs=n_jobs, return_train_score=True).fit(*digits)

    serial, parallel = both(pool, search)
    assert_same_search(serial, parallel)
    np.testing.assert_array_equal(serial.predict_proba(digits[0]), parallel.predict_proba(digits[0]))


def test_a_randomized_search_with_a_seed_finds_what_a_serial_one_finds(pool, digits):
    model = RandomForestClassifier(n_estimators=5, random_state=0)
    space = {"max_depth": [2, 4, 8, None], "min_samples_leaf": range(1, 20)}

    def search(n_jobs: int) -> RandomizedSearchCV:
        return RandomizedSearchCV(model, space, n_iter=6, cv=2, n_jobs=n_jobs, random_state=1).fit(*digits)

    assert_same_search(*both(pool, search))


def test_cross_validation_gives_the_scores_and_predictions_of_a_serial_one(pool, digits):
    model = LogisticRegression(max_iter=500)
    serial, parallel = both(pool, lambda n_jobs: cross_val_score(model, *digits, cv=5, n_jobs=n_jobs))
    np.testing.assert_array_equal(serial, parallel)
    serial, parallel = both(pool, lambda n_jobs: cross_val_predict(model, *digits, cv=3, n_jobs=n_jobs))
    np.testing.assert_array_equal(serial, parallel)


def test_a_random_forest_is_the_one_that_grows_serially(pool, digits):
    def forest(n_jobs: int) -> RandomForestClassifier:
        return RandomForestClassifier(n_estimators=20, random_state=3, n_jobs=n_jobs).fit(*digits)

    serial, parallel = both(pool, forest)
    np.testing.assert_array_equal(serial.feature_importances_, parallel.feature_importances_)
    np.testing.assert_array_equal(serial.predict_proba(digits[0]), parallel.predict_proba(digits[0]))


def test_a_search_over_models_that_are_parallel_themselves_starts_no_pools(pool, digits):
    model = RandomForestClassifier(n_estimators=4, random_state=0, n_jobs=2)

    def search(n_jobs: int) -> GridSearchCV:
        return GridSearchCV(model, {"max_depth": [2, 4]}, cv=2, n_jobs=n_jobs).fit(*digits)

    assert_same_search(*both(pool, search))


class Fragile(ClassifierMixin, BaseEstimator):
    """A nearest-mean classifier whose first fit anywhere says who it is in `trace`, and never returns."""

    def __init__(self, trace: str = "", power: float = 1.0) -> None:
        self.trace = trace
        self.power = power

    def fit(self, x: np.ndarray, y: np.ndarray) -> Fragile:
        with suppress(FileExistsError):
            written = Path(f"{self.trace}.{os.getpid()}")
            written.write_text(str(os.getpid()))
            os.link(written, self.trace)
            time.sleep(PATIENCE * 4)
        self.classes_ = np.unique(y)
        self.means_ = np.array([np.mean(x[y == label] ** self.power, axis=0) for label in self.classes_])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        distances = ((x[:, None, :] ** self.power - self.means_) ** 2).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


def test_a_grid_search_goes_on_when_a_worker_is_killed(digits, tmp_path):
    trace = tmp_path / "trace"
    grid = {"power": [0.25, 0.5, 1.0, 2.0]}

    def kill_who_hangs() -> None:
        os.kill(int(until(lambda: trace.exists() and trace.read_text())), signal.SIGKILL)

    killer = threading.Thread(target=kill_who_hangs)
    killer.start()
    with WorkerPool(num_workers=2) as pool, parallel_config(backend="iris", pool=pool):
        search = GridSearchCV(Fragile(str(trace)), grid, cv=3, n_jobs=2).fit(*digits)
        assert sum(info.restarts for info in pool.status().worker_infos) == 1
    killer.join()
    assert_same_search(search, GridSearchCV(Fragile(str(trace)), grid, cv=3).fit(*digits))
