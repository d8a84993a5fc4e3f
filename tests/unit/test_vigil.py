"""Vigil: silence and absence together are the end of a server; each alone is not."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from iris_actor.rpc.vigil import ANSWER, LATE, PATIENCE, PAUSE, Step, Vigil


@dataclass
class History:
    """A server and its registry over time, and a Vigil over it whose looks come when they are due.

    Each span is a pair of its beginning and its end, in seconds.

    Args:
        alive: when the server answers packets.
        breathes: when gRPC's threads answer there, though the server may be busy.
        announced: when it is announced.
        away: when this process is stopped, and looks at nothing.
        latency: seconds that an answer takes.
    """

    alive: list[tuple[float, float]]
    breathes: list[tuple[float, float]]
    announced: list[tuple[float, float]]
    away: list[tuple[float, float]]
    latency: float = 0.1

    def run(self, until: float) -> tuple[Step, float]:
        """How the vigil ends, and when; WAIT when it did not by then."""
        vigil = Vigil()
        now, signs = 0.0, 0
        arriving: list[float] = []
        while now < until:
            signs += sum(each <= now for each in arriving)
            arriving = [each for each in arriving if each > now]
            step = vigil.look(now, announced=within(self.announced, now), signs=signs)
            if step in {Step.END, Step.LOST}:
                return step, now
            if step is Step.ASK and within(self.alive, now + self.latency):
                arriving.append(now + self.latency)
            if step is Step.KNOCK and within(self.breathes, now + self.latency):
                arriving.append(now + self.latency)
            assert vigil.due > now, "it would look for ever at once"
            now = vigil.due
            for start, end in self.away:
                if start <= now < end:
                    now = end
        return Step.WAIT, now


def within(spans: list[tuple[float, float]], now: float) -> bool:
    return any(start <= now < end for start, end in spans)


ALWAYS = [(0.0, 1e9)]


def test_a_server_that_is_dead_when_its_lease_ends_is_lost_after_the_patience() -> None:
    assert History([], [], [], []).run(100) == (Step.LOST, PATIENCE)


def test_a_server_that_answers_stays_however_long_it_is_not_announced() -> None:
    assert History(ALWAYS, ALWAYS, [], []).run(10_000)[0] is Step.WAIT


def test_a_server_whose_interpreter_is_held_stays_while_grpc_answers() -> None:
    assert History([], ALWAYS, [], []).run(10_000)[0] is Step.WAIT


def test_a_server_that_is_announced_again_is_asked_nothing_more() -> None:
    vigil = Vigil()
    assert vigil.look(0.0, announced=False, signs=0) is Step.ASK
    assert vigil.look(0.5, announced=True, signs=0) is Step.END


def test_a_server_that_dies_long_after_its_lease_is_noticed_with_the_next_question() -> None:
    step, when = History([(0, 60)], [(0, 60)], [], []).run(1000)
    assert step is Step.LOST
    assert when <= 60 + PAUSE + PATIENCE


def test_it_knocks_once_when_no_answer_came_in_time() -> None:
    vigil = Vigil()
    steps = []
    now = 0.0
    for _ in range(3):
        steps.append(vigil.look(now, announced=False, signs=7))
        now = vigil.due
    assert steps == [Step.ASK, Step.KNOCK, Step.LOST]


def test_a_look_that_comes_too_early_does_nothing() -> None:
    vigil = Vigil()
    vigil.look(0.0, announced=False, signs=0)
    assert vigil.look(ANSWER / 2, announced=False, signs=0) is Step.WAIT
    assert vigil.due == ANSWER


def test_a_look_that_comes_too_late_asks_anew_since_it_was_we_who_were_stopped() -> None:
    vigil = Vigil()
    vigil.look(0.0, announced=False, signs=0)
    assert vigil.look(ANSWER + LATE + 100, announced=False, signs=0) is Step.ASK


@pytest.mark.parametrize("seed", range(300))
def test_in_any_history_only_absence_with_silence_is_the_end_and_always_is(seed: int) -> None:
    rng = random.Random(seed)
    dies = rng.uniform(0, 120)
    busy_until = rng.uniform(0, dies)
    returns = rng.choice([rng.uniform(0, 200), 1e9])
    away_at = rng.uniform(0, 150)
    away = [(away_at, away_at + rng.choice([0.0, 0.5, 30.0]))]
    history = History(
        alive=[(busy_until, dies)],
        breathes=[(0, dies)],
        announced=[(returns, 1e9)],
        away=away,
        latency=rng.uniform(0.01, ANSWER * 0.9),
    )
    step, when = history.run(2000)
    stopped = away[0][1] - away[0][0]
    latest = dies + history.latency + PAUSE + PATIENCE + stopped + PATIENCE
    if step is Step.END:
        assert when >= returns
    else:
        assert step is Step.LOST, "it is dead, and nobody noticed"
        assert dies - history.latency <= when <= latest
        assert when < returns
