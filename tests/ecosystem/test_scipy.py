"""scipy.optimize with ``workers=working_pool.map``: to the last bit what it finds serially."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import scipy
import scipy.optimize

from iris_actor import WorkerPool

BOUNDS = [(-2.0, 2.0), (-2.0, 2.0), (-2.0, 2.0)]
MINIMIZE_TAKES_WORKERS = tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 16)


def rosenbrock(x: np.ndarray, shift: float = 0.0) -> float:
    return float(scipy.optimize.rosen(x) + shift)


def assert_same(one: scipy.optimize.OptimizeResult, other: scipy.optimize.OptimizeResult) -> None:
    np.testing.assert_array_equal(one.x, other.x)
    assert (one.fun, one.nfev, one.nit) == (other.fun, other.nfev, other.nit)


def test_differential_evolution_finds_what_it_finds_serially(working_pool: WorkerPool):
    def evolve(workers) -> scipy.optimize.OptimizeResult:
        return scipy.optimize.differential_evolution(
            rosenbrock,
            BOUNDS,
            args=(1.5,),
            seed=3,
            maxiter=15,
            popsize=6,
            updating="deferred",
            workers=workers,
        )

    assert_same(evolve(working_pool.map), evolve(1))


def test_differential_evolution_of_a_closure_finds_what_it_finds_serially(working_pool: WorkerPool):
    target = np.array([0.5, -0.25])

    def evolve(workers) -> scipy.optimize.OptimizeResult:
        return scipy.optimize.differential_evolution(
            lambda x: float(((x - target) ** 2).sum()),
            BOUNDS[:2],
            seed=5,
            maxiter=10,
            updating="deferred",
            workers=workers,
        )

    assert_same(evolve(working_pool.map), evolve(1))


def test_brute_force_finds_what_it_finds_serially(working_pool: WorkerPool):
    def search(workers) -> tuple:
        return scipy.optimize.brute(rosenbrock, BOUNDS, Ns=7, full_output=True, finish=None, workers=workers)

    for one, other in zip(search(working_pool.map), search(1), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B"])
def test_a_gradient_by_differences_leads_where_it_leads_serially(pool: WorkerPool, method: str):
    """scipy's `minimize` takes workers since 1.16; older ones warn of an option that they do not know."""
    start = np.array([-1.2, 1.0, 0.5])
    serial = scipy.optimize.minimize(rosenbrock, start, method=method)
    before = pool.status().tasks.done
    unknown = pytest.warns(scipy.optimize.OptimizeWarning, match="workers")
    with nullcontext() if MINIMIZE_TAKES_WORKERS else unknown:
        options = {"workers": pool.map}
        parallel = scipy.optimize.minimize(rosenbrock, start, method=method, options=options)
    assert (pool.status().tasks.done > before) == MINIMIZE_TAKES_WORKERS
    assert_same(parallel, serial)
