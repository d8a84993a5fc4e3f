"""Runs the rounds: all peers are up at once, and in every round each is measured once, in turn.

Figures of one round are taken within seconds of one another, so that a machine that becomes slower for a
minute slows both sides of a ratio. The order rotates from round to round: nobody always follows the same
neighbour. Time is bounded: a group of benchmarks that has used up its share ends with fewer rounds, and what
is not measured when the whole time is up is left out.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.machine import machine, versions
from benchmarks.measure import MismatchError
from benchmarks.plan import BENCHMARKS
from benchmarks.processes import ChildError, DriverProcess
from benchmarks.results import LEFT_OUT, Results, Row, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Budget, Sample
    from benchmarks.plan import Benchmark

START_TIMEOUT = 60.0
MEASURE_TIMEOUT = 45.0
#: Of one way, before a benchmark's first round.
WARM_UP = 0.2
#: A way whose warm-up says that one measurement would take longer is left out.
LONGEST = 20.0
#: Kept for ending the peers, of the whole run's time.
RESERVE = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for."""

    peers: Sequence[str]
    benchmarks: Sequence[str]
    """By name, in order."""
    rounds: int
    seconds: float
    quick: bool

    def budget(self, benchmark: Benchmark) -> Budget:
        budget = benchmark.budget
        if not self.quick:
            return budget
        return replace(budget, seconds=budget.seconds * 0.4, at_least=max(1, budget.at_least // 2))


class Runner:
    """One run. `run` ends every process that it has started, whatever happens."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._drivers: dict[str, DriverProcess] = {}
        self._started = time.monotonic()
        self.results = Results(machine(), rounds_asked=settings.rounds, quick=settings.quick)

    def run(self) -> Results:
        polite = False
        try:
            for name in self._settings.peers:
                self._start(name)
            shares = self._shares()
            for group in list(shares):
                left = self._settings.seconds - RESERVE - self._elapsed()
                share = shares[group] / sum(shares.values())
                del shares[group]
                self._run_group(group, left * share)
            polite = True
        finally:
            self._progress("ending the peers")
            for driver in self._drivers.values():
                driver.stop(politely=polite)
            self._progress("")
            self.results.seconds = self._elapsed()
        return self.results

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _shares(self) -> dict[str, float]:
        chosen = [BENCHMARKS[name] for name in self._settings.benchmarks]
        groups = dict.fromkeys(benchmark.group for benchmark in chosen)
        return {group: sum(benchmark.share for benchmark in self._of(group)) for group in groups}

    def _of(self, group: str) -> list[Benchmark]:
        chosen = (BENCHMARKS[name] for name in self._settings.benchmarks)
        return [benchmark for benchmark in chosen if benchmark.group == group]

    def _start(self, name: str) -> None:
        self._progress(f"starting {name}")
        driver = self._drivers[name] = DriverProcess(name)
        try:
            distributions = driver.ask("start", timeout=START_TIMEOUT)
        except Exception as error:
            self._give_up(name, str(error))
        else:
            self.results.versions |= versions(distributions)

    def _give_up(self, name: str, reason: str) -> None:
        self.results.absent[name] = reason
        self._drivers.pop(name).stop(politely=False)

    def _run_group(self, group: str, seconds: float) -> None:
        tables = [self._table(benchmark) for benchmark in self._of(group)]
        self.results.tables += tables
        give_up_at = time.monotonic() + seconds
        for table in tables:
            for row in table.rows:
                self._warm_up(table.benchmark, row)
        longest = 0.0
        for number in range(self._settings.rounds):
            begun = time.monotonic()
            if number and begun + longest > give_up_at:
                break
            for table in tables:
                self._run_round(table, number)
            longest = max(longest, time.monotonic() - begun)

    def _table(self, benchmark: Benchmark) -> Table:
        table = Table(benchmark)
        for name, driver in list(self._drivers.items()):
            if benchmark.peers and name not in benchmark.peers:
                continue
            try:
                ways = driver.ask("ways", benchmark.name, timeout=START_TIMEOUT)
            except ChildError as error:
                self._give_up(name, f"{benchmark.name}: {error}")
            except Exception as error:
                # What this benchmark needs cannot be started; there are others.
                table.rows.append(Row(name, "", error=str(error)))
            else:
                table.rows += [Row(name, way) for way in ways]
        return table

    def _warm_up(self, benchmark: Benchmark, row: Row) -> None:
        if not benchmark.warms_up:
            return
        warm_up = BENCHMARKS[benchmark.warm_up or benchmark.name]
        budget = self._settings.budget(warm_up)
        budget = replace(budget, seconds=min(WARM_UP, budget.seconds), at_least=1)
        sample = self._measure(warm_up, row, budget, f"{benchmark.name}, warm-up")
        if benchmark.of_calls and sample is not None:
            seconds = benchmark.size / sample["rate"]
            if seconds > LONGEST:
                row.error = f"{LEFT_OUT}: it would take {seconds:.0f} s each time"

    def _run_round(self, table: Table, number: int) -> None:
        start = number * len(table.rows) // max(1, self._settings.rounds)
        for row in table.rows[start:] + table.rows[:start]:
            what = f"{table.benchmark.name}, round {number + 1} of {self._settings.rounds}"
            sample = self._measure(table.benchmark, row, self._settings.budget(table.benchmark), what)
            if sample is not None:
                row.samples[number] = sample

    def _measure(self, benchmark: Benchmark, row: Row, budget: Budget, what: str) -> Sample | None:
        """One measurement; a row that has failed once is not measured again."""
        if row.error or row.peer not in self._drivers:
            row.error = row.error or self.results.absent.get(row.peer, "the peer is gone")
            return None
        if self._elapsed() > self._settings.seconds - RESERVE:
            if not row.samples:
                row.error = f"{LEFT_OUT}: the time was up"
            return None
        self._progress(f"{what}: {row.label}")
        command = ("measure", benchmark.name, row.way, budget, MEASURE_TIMEOUT - 5)
        try:
            sample: Sample = self._drivers[row.peer].ask(*command, timeout=MEASURE_TIMEOUT)
        except MismatchError as error:
            # Nothing that this peer has said or will say can be trusted.
            row.error = f"WRONG REPLY: {error}"
            row.samples.clear()
            self.results.mismatch = True
            self._give_up(row.peer, f"{benchmark.name}: {row.error}")
        except ChildError as error:
            row.error = str(error)
            self._give_up(row.peer, f"{benchmark.name}, {row.way}: {error}")
        except Exception as error:
            row.error = str(error)
        else:
            return sample
        return None

    def _progress(self, what: str) -> None:
        if sys.stderr.isatty():
            line = f"{self._elapsed():5.0f} s  {what}" if what else ""
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
