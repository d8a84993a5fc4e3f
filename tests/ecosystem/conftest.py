"""What the tests of other libraries share: a pool of two workers, since starting it takes longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iris_actor import WorkerPool


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    """A pool of two workers for tests that leave it as they found it."""
    with WorkerPool(num_workers=2) as pool:
        pool.wait_for_workers(timeout=30)
        yield pool


@pytest.fixture
def working_pool(pool: WorkerPool) -> Iterator[WorkerPool]:
    """That pool, for tests that would also pass if a library computed everything in this process."""
    before = pool.status().tasks.done
    yield pool
    assert pool.status().tasks.done > before, "the pool was not used"
