"""Driver: runs the configurations on a pool of workers, and kills one of them on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.actor_process import start_actor
from examples.sweep.evaluation import Outcome, evaluate, warm_up
from examples.sweep.grid import Config
from examples.sweep.sabotage import Kill, kill_a_worker
from examples.sweep.tracker import Attempt, Tracker
from iris_actor import ActorPool, IrisClient, ResourceSpec, WorkerPool, WorkerPoolConfig

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
KILL_AFTER = 0.35
"""The part of the configurations that is done before a worker is killed."""
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Sweep:
    """What came of it all.

    Attributes:
        configs: what was asked for.
        outcomes: the results that arrived.
        attempts: the tracker's account.
        kill: what was done to a worker; None without.
        seconds: from the first submit to the last result.
    """

    configs: Sequence[Config]
    outcomes: Sequence[Outcome]
    attempts: Sequence[Attempt]
    kill: Kill | None
    seconds: float

    @property
    def best(self) -> list[Outcome]:
        """The outcomes, the best first."""
        return sorted(self.outcomes, key=lambda outcome: (-outcome.accuracy, outcome.seconds))

    def problems(self) -> list[str]:
        """What is not as it must be; empty when all is well."""
        found = []
        missing = {config.index for config in self.configs} - {o.config.index for o in self.outcomes}
        if missing:
            found.append(f"no result of configurations {sorted(missing)}")
        if len(self.outcomes) != len({o.config.index for o in self.outcomes}):
            found.append("a configuration has two results")
        reported = {(a.config, a.number): a.accuracy for a in self.attempts if a.accuracy is not None}
        found += [
            f"the tracker knows another result of configuration {outcome.config.index}"
            for outcome in self.outcomes
            if reported.get((outcome.config.index, outcome.attempt)) != outcome.accuracy
        ]
        if self.kill is not None:
            again = [o for o in self.outcomes if o.config.index == self.kill.victim.config]
            if not again or again[0].attempt < 2 or again[0].pid == self.kill.victim.pid:
                found.append("the killed worker's task was not run again")
        return found


def run_sweep(configs: Sequence[Config], *, workers: int, kill: bool, console: Console) -> Sweep:
    """Run `configs` on `workers` processes; returns when every result is there."""
    with (
        IrisClient.local(namespace="sweep") as client,
        WorkerPool(
            client,
            WorkerPoolConfig(
                num_workers=workers,
                resources=ResourceSpec(cpu=1),
                env=ONE_THREAD,
                initializer=warm_up,
                name="sweepers",
            ),
        ) as pool,
    ):
        start_actor(client, "examples.sweep.tracker:Tracker", "tracker")
        tracker = client.resolver.lookup("tracker", Tracker)
        with console.status("etcd runs; starting the tracker and the workers"):
            tracker.wait_for_size(1, timeout=60)
            pool.wait_for_workers(timeout=60)
        begun = time.monotonic()
        futures = [pool.submit(evaluate, config) for config in configs]
        killed = _watch(futures, pool, tracker, kill=kill, console=console)
        outcomes = [future.result() for future in futures]
        seconds = time.monotonic() - begun
        return Sweep(configs, outcomes, tracker.call(timeout=30).attempts(), killed, seconds)


def _watch(
    futures: Sequence[Future[Outcome]],
    pool: WorkerPool,
    tracker: ActorPool[Tracker],
    *,
    kill: bool,
    console: Console,
) -> Kill | None:
    """Show the progress until all is done; kill a worker on the way, if that is wanted."""
    killed: Kill | None = None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}", style="green"),
        console=console,
    )
    with bar as progress:
        shown = progress.add_task("sweep", total=len(futures), best="")
        pending, best = set(futures), 0.0
        while pending:
            done, pending = wait(pending, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done:
                best = max(best, future.result().accuracy)
            workers = pool.status().workers
            text = f"best {best:.4f}, {workers.busy} workers busy" + (", 1 killed" if killed else "")
            progress.update(shown, completed=len(futures) - len(pending), best=text)
            if kill and killed is None and len(pending) <= (1 - KILL_AFTER) * len(futures):
                killed = kill_a_worker(pool, tracker)
                if killed is not None:
                    victim = killed.victim
                    console.print(
                        f"[bold red]SIGKILL[/] to {victim.worker} (pid {victim.pid}) while it runs"
                        f" configuration {victim.config}"
                    )
    return killed
