"""An exception that the input of a map raises: somebody is always told, and nobody twice."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iris_actor.errors import BrokenWorkerPool
from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until

Finish = Callable[..., tuple[int, str, str]]


def touch(path: Path) -> None:
    path.touch()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def failing(folder: Path, items: int = 12, text: str = "bad row") -> Iterator[Path]:
    for n in range(items):
        yield folder / str(n)
    raise ValueError(text)


def use_pool(client: IrisClient, use: Callable[[WorkerPool], object]) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        kept = use(pool)
    del kept


@pytest.mark.parametrize("items", [3, 12])
@pytest.mark.parametrize("chunksize", [1, 5])
@pytest.mark.parametrize("held", [True, False])
def test_the_end_of_the_pool_raises_it_when_nobody_asked_for_results(
    client: IrisClient, tmp_path: Path, held: bool, chunksize: int, items: int
) -> None:
    def use(pool: WorkerPool) -> object:
        results = pool.map(touch, failing(tmp_path, items), chunksize=chunksize)
        return results if held else None

    with pytest.raises(ValueError, match="bad row"):
        use_pool(client, use)
    assert names(tmp_path) == {str(n) for n in range(items)}, "what came before it is done"


def test_a_map_that_was_run_while_the_program_did_other_things_is_not_forgotten(
    client: IrisClient, tmp_path: Path
) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.map(touch, failing(tmp_path))
        until(lambda: len(names(tmp_path)) == 12)
        with pytest.raises(ValueError, match="bad row"):
            pool.shutdown()
        pool.shutdown()


def test_it_is_raised_though_the_iterator_stands_before_it(client: IrisClient, tmp_path: Path) -> None:
    def use(pool: WorkerPool) -> object:
        results = pool.map(touch, failing(tmp_path, 3), buffersize=10)
        assert next(results) is None
        return results

    with pytest.raises(ValueError, match="bad row"):
        use_pool(client, use)


def test_what_the_iterator_has_raised_the_end_of_the_pool_does_not(
    client: IrisClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        with pytest.raises(ValueError, match="bad row"):
            list(pool.map(touch, failing(tmp_path)))
    assert "bad row" not in caplog.text


def test_of_several_the_first_is_raised_and_the_others_are_logged(
    client: IrisClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def use(pool: WorkerPool) -> None:
        for name in "ab":
            (tmp_path / name).mkdir()
            pool.map(touch, failing(tmp_path / name, 40, f"bad row in {name}"))

    with pytest.raises(ValueError, match=r"bad row in [ab]") as caught:
        use_pool(client, use)
    other = {"bad row in a", "bad row in b"} - {str(caught.value)}
    assert other.pop() in caplog.text
    assert len([record for record in caplog.records if "input of a map" in record.getMessage()]) == 1


def test_it_is_logged_where_the_block_raises_something_else(
    client: IrisClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def use(pool: WorkerPool) -> None:
        pool.map(touch, failing(tmp_path, 1), buffersize=10)
        raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        use_pool(client, use)
    assert "bad row" in caplog.text


def test_it_is_raised_though_the_consumer_has_had_enough(client: IrisClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad row"):
        use_pool(client, lambda pool: next(pool.map(touch, failing(tmp_path, 3), buffersize=10)))


@pytest.mark.parametrize("items", [3, 12])
def test_it_is_logged_where_the_pool_is_dropped(
    client: IrisClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, items: int
) -> None:
    pool = WorkerPool(client, num_workers=1)
    pool.map(touch, failing(tmp_path, items))
    del pool
    until(lambda: gc.collect() >= 0 and "bad row" in caplog.text)
    until(lambda: len(names(tmp_path)) == items)


def test_a_pool_that_breaks_while_a_map_is_fed_says_so_at_its_end(client: IrisClient) -> None:
    def initialize() -> None:
        raise OSError("no licence")

    def items() -> Iterator[int]:
        yield from range(4)
        until(lambda: pool.status().broken is not None)
        yield from range(4, 20)

    with pytest.raises(BrokenWorkerPool, match="no licence"):
        with WorkerPool(client, num_workers=1, initializer=initialize) as pool:
            pool.map(abs, items())


def test_a_submit_of_the_users_that_raises_is_not_forgotten_either(client: IrisClient) -> None:
    def submit(*_args: object) -> None:
        raise LookupError("of submit")

    def use(pool: WorkerPool) -> None:
        pool.submit = submit  # type: ignore[method-assign, assignment]
        pool.map(abs, [1, 2])

    with pytest.raises(LookupError, match="of submit"):
        use_pool(client, use)


def test_an_input_that_exits_the_program_in_its_main_thread_ends_the_pool_too(finish: Finish) -> None:
    code, out, err = finish("""
        import sys
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def items():
            yield from range(8)
            sys.exit("that is all")

        with WorkerPool(num_workers=1) as pool:
            pool.map(abs, items())
    """)
    assert (code, out, err) == (1, "", "that is all\n")


def test_it_is_logged_at_the_exit_of_the_interpreter(finish: Finish) -> None:
    code, out, err = finish("""
        from iris_actor.work.pool.executor.worker_pool import WorkerPool

        def items():
            yield from range(20)
            raise ValueError("bad row")

        pool = WorkerPool(num_workers=1)
        kept = pool.map(print, items())
    """)
    assert code == 0
    assert len(out.splitlines()) == 20
    assert "the input of a map raised" in err
    assert "ValueError: bad row" in err
