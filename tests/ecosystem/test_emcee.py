"""emcee with ``pool=``: the very chains that it samples serially."""

from __future__ import annotations

import emcee
import numpy as np

from iris_actor import WorkerPool

WALKERS, DIMENSIONS, STEPS = 12, 3, 30


def log_probability(x: np.ndarray, inverse: np.ndarray) -> float:
    return float(-0.5 * x @ inverse @ x)


def log_probability_and_more(x: np.ndarray) -> tuple[float, float]:
    """With a blob, as emcee calls what is kept beside the probability."""
    return float(-0.5 * x @ x), float(x.sum())


def sample(pool: WorkerPool | None, function, *args) -> emcee.EnsembleSampler:
    """A sampler after a run that starts from the same seed each time."""
    np.random.seed(42)  # noqa: NPY002 - the only seed that emcee takes
    start = np.random.default_rng(42).normal(size=(WALKERS, DIMENSIONS))
    sampler = emcee.EnsembleSampler(WALKERS, DIMENSIONS, function, args=args, pool=pool)
    sampler.run_mcmc(start, STEPS)
    return sampler


def test_the_chain_is_the_one_that_is_sampled_serially(working_pool: WorkerPool):
    inverse = np.linalg.inv(np.cov(np.random.default_rng(1).normal(size=(DIMENSIONS, 50))))
    parallel, serial = (sample(each, log_probability, inverse) for each in (working_pool, None))
    np.testing.assert_array_equal(parallel.get_chain(), serial.get_chain())
    np.testing.assert_array_equal(parallel.get_log_prob(), serial.get_log_prob())
    np.testing.assert_array_equal(parallel.acceptance_fraction, serial.acceptance_fraction)


def test_blobs_are_those_that_are_sampled_serially(working_pool: WorkerPool):
    parallel, serial = (sample(each, log_probability_and_more) for each in (working_pool, None))
    np.testing.assert_array_equal(parallel.get_blobs(), serial.get_blobs())


def test_the_function_may_be_a_closure(working_pool: WorkerPool):
    width = np.array([1.0, 2.0, 3.0])

    def here(x: np.ndarray) -> float:
        return float(-0.5 * ((x / width) ** 2).sum())

    parallel, serial = (sample(each, here) for each in (working_pool, None))
    np.testing.assert_array_equal(parallel.get_chain(), serial.get_chain())
