"""What workers have from their driver: levels of logging, also later ones, and a seed of hashes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from iris_actor.work.client import IrisClient
from iris_actor.work.pool.executor.worker_pool import WorkerPool
from tests.support.waiting import until


def log(name: str, level: int, text: str) -> bool:
    logger = logging.getLogger(name)
    made = logger.isEnabledFor(level)
    logger.log(level, text)
    return made


def effective(name: str) -> int:
    return logging.getLogger(name).getEffectiveLevel()


def own_level(name: str, level: int) -> None:
    logging.getLogger(name).setLevel(level)


def hash_of(text: str) -> tuple[int, int]:
    return os.getpid(), hash(text)


@pytest.fixture
def app() -> Iterator[logging.Logger]:
    loggers = [logging.getLogger(name) for name in ("app", "app.part", "")]
    before = [logger.level for logger in loggers]
    yield loggers[0]
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
    logging.disable(logging.NOTSET)


def test_levels_of_loggers_that_are_set_after_the_start_hold(
    shared_pool: WorkerPool, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    assert not shared_pool.submit(log, "app.part", logging.INFO, "too early").result(30)
    app.setLevel(logging.INFO)
    assert shared_pool.submit(log, "app.part", logging.INFO, "in time").result(30)
    logging.getLogger("app.part").setLevel(logging.ERROR)
    assert not shared_pool.submit(log, "app.part", logging.INFO, "too low").result(30)
    logging.getLogger("app.part").setLevel(logging.NOTSET)
    assert shared_pool.submit(log, "app.part", logging.INFO, "again").result(30)
    until(lambda: "again" in caplog.text)
    records = [record for record in caplog.records if record.name == "app.part"]
    assert {record.getMessage().partition("] ")[2] for record in records} == {"in time", "again"}


def test_the_roots_level_and_disable_hold(shared_pool: WorkerPool, app: logging.Logger) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    assert shared_pool.submit(effective, "some.other").result(30) == logging.DEBUG
    logging.disable(logging.WARNING)
    assert not shared_pool.submit(log, "some.other", logging.WARNING, "disabled").result(30)
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.ERROR)
    assert shared_pool.submit(effective, "some.other").result(30) == logging.ERROR


def test_a_level_that_a_task_has_set_stays(client: IrisClient, app: logging.Logger) -> None:
    with WorkerPool(client, num_workers=1) as pool:
        pool.submit(own_level, "app", logging.CRITICAL).result(30)
        app.setLevel(logging.INFO)
        assert pool.submit(effective, "app").result(30) == logging.CRITICAL


def test_a_worker_that_starts_later_has_the_levels_of_then(client: IrisClient, app: logging.Logger) -> None:
    with WorkerPool(client, num_workers=(0, 1)) as pool:
        app.setLevel(logging.DEBUG)
        assert pool.submit(effective, "app").result(30) == logging.DEBUG


def test_workers_agree_on_the_hashes_of_strings(client: IrisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with WorkerPool(client, num_workers=2, max_tasks_per_worker=2) as pool:
        seen = [pool.submit(hash_of, "a string").result(30) for _ in range(8)]
    assert len({pid for pid, _ in seen}) > 2
    assert len({value for _, value in seen}) == 1
    with WorkerPool(client, num_workers=1) as pool:
        assert pool.submit(hash_of, "a string").result(30)[1] != seen[0][1], "another pool, another seed"


@pytest.mark.parametrize("by", ["environment", "configuration"])
def test_a_seed_of_the_users_wins(client: IrisClient, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    env = {}
    monkeypatch.setenv("PYTHONHASHSEED", "7" if by == "environment" else "8")
    if by == "configuration":
        env["PYTHONHASHSEED"] = "7"
    with WorkerPool(client, num_workers=1, env=env) as pool:
        assert pool.submit(os.getenv, "PYTHONHASHSEED").result(30) == "7"
