"""Optuna's ask and tell over futures: the same study as a serial one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait

import optuna
import pytest

from iris_actor import WorkerPool

ROUNDS, AT_ONCE = 8, 4


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def loss(params: dict[str, float]) -> float:
    return (params["x"] - 0.3) ** 2 + abs(params["y"]) + (params["kind"] == "b") * 0.5


def suggest(trial: optuna.Trial) -> dict[str, float]:
    return {
        "x": trial.suggest_float("x", -1, 1),
        "y": trial.suggest_int("y", -5, 5),
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
    }


def study() -> optuna.Study:
    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=11, n_startup_trials=8))


def in_rounds(run: Callable[[list[dict[str, float]]], Iterator[float]]) -> optuna.Study:
    """A study that asks for some trials at once, and tells their values in the order of the asking."""
    result = study()
    for _ in range(ROUNDS):
        trials = [result.ask() for _ in range(AT_ONCE)]
        for trial, value in zip(trials, run([suggest(trial) for trial in trials]), strict=True):
            result.tell(trial, value)
    return result


def test_trials_that_are_told_in_order_make_the_study_of_a_serial_run(working_pool: WorkerPool):
    parallel = in_rounds(lambda params: working_pool.map(loss, params))
    serial = in_rounds(lambda params: map(loss, params))
    assert [(t.params, t.value) for t in parallel.trials] == [(t.params, t.value) for t in serial.trials]
    assert (parallel.best_params, parallel.best_value) == (serial.best_params, serial.best_value)


def test_trials_may_be_told_as_their_futures_complete(working_pool: WorkerPool):
    result = study()
    running = {}
    for _ in range(20):
        if len(running) == AT_ONCE:
            done, _ = wait(running, 20, FIRST_COMPLETED)
            for future in done:
                result.tell(running.pop(future), future.result())
        trial = result.ask()
        running[working_pool.submit(loss, suggest(trial))] = trial
    for future, trial in running.items():
        result.tell(trial, future.result(20))
    assert len(result.trials) == 20
    assert all(trial.value == loss(trial.params) for trial in result.trials)
    assert result.best_value == min(trial.value for trial in result.trials)


def raise_overflow(_: dict[str, float]) -> float:
    raise OverflowError("too far")


def test_a_trial_that_failed_is_told_as_such(pool: WorkerPool):
    result = study()
    trial = result.ask()
    future = pool.submit(raise_overflow, suggest(trial))
    assert isinstance(future.exception(20), OverflowError)
    result.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert [each.state for each in result.trials] == [optuna.trial.TrialState.FAIL]
