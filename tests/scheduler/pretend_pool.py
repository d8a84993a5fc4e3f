"""A pretend pool: a scheduler among workers, a launcher and callers that dice decide about.

What a real pool does with threads, sockets and processes happens here one step at a time, in an order that a
seed decides: sends take a while, replies are late, workers die with what they were at, launches wait for a
place. After each step the promises of the scheduler are checked. At the end all faults stop, and the pool may
use nothing but what the scheduler asked for: a task that is never settled is a wake-up that it forgot.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from iris_actor.work.pool.scheduler.actions import (
    Action,
    AskBack,
    End,
    EndReason,
    GiveUp,
    Lost,
    Ready,
    Removed,
    Send,
    Settle,
    Start,
    Tell,
    Verdict,
    WakeUp,
)
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduled_task import ScheduledTask
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.scheduler.task_queue import FEED, TICK

_NOT_NEEDED = frozenset({EndReason.RETIRED, EndReason.KILLED})


class Note(NamedTuple):
    """What the flight recorder of a pretend worker says."""

    seq: int
    since: float
    begun: bool


class Kind:
    """A function: how long its calls take, and how long they are expected to take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.mean = math.inf


class PretendTask(ScheduledTask):
    """A task whose fate is known beforehand."""

    def __init__(
        self, seq: int, kind: Kind, seconds: float, *, timeout: float | None, max_retries: int, kills: int
    ) -> None:
        self.seq = seq
        self.kind = kind
        self.seconds = seconds
        self.timeout = timeout
        self.max_retries = max_retries
        self.kills = kills  # so many workers die of it
        self.sent_to: list[int] = []
        self.begun_in: list[int] = []
        self.ends: list[str] = []
        self.is_cancelled = False

    @property
    def expected(self) -> float:
        return self.kind.mean

    @property
    def cancelled(self) -> bool:
        return self.is_cancelled

    def claim(self) -> bool:
        return not self.is_cancelled

    def measured(self, seconds: float) -> None:
        mean = self.kind.mean
        self.kind.mean = seconds if mean == math.inf else mean + 0.25 * (seconds - mean)

    def __repr__(self) -> str:
        return f"<task {self.seq}: {self.ends}, begun in {self.begun_in}, {self.deaths} deaths>"


@dataclass
class Batch:
    """A batch in a pretend worker."""

    number: int
    size: int
    outcomes: list[tuple[int, bool, float]] = field(default_factory=list)
    over: int = 0


class Reply(NamedTuple):
    """What a pretend worker has answered and nobody has heard yet."""

    kind: str
    batch: int
    seqs: list[int]
    outcomes: list[tuple[int, bool, float]]
    complete: bool


class Process:
    """A pretend worker process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_placed = False  # whether its engine has begun to run it
        self.has_announced = False
        self.has_ended = False
        self.is_blameless = False  # whether its engine ended it
        self.is_mute = False  # whether its engine does not say that it has ended
        self.is_reachable = True
        self.ends_at = math.inf
        self.queue: deque[tuple[Batch, PretendTask]] = deque()
        self.current: tuple[Batch, PretendTask, float] | None = None
        self.asked: deque[Tell | AskBack] = deque()
        self.replies: list[Reply] = []
        self.note = Note(0, 0.0, begun=False)
        self.begun = 0

    def withdraw(self, only: int | None) -> list[int]:
        taken = []
        kept: deque[tuple[Batch, PretendTask]] = deque()
        for batch, task in self.queue:
            if only in {None, task.seq}:
                taken.append(task.seq)
                batch.over += 1
                self.reply(batch, now=batch.over == batch.size)
            else:
                kept.append((batch, task))
        self.queue = kept
        return taken

    def reply(self, batch: Batch, *, now: bool) -> None:
        if now:
            complete = batch.over == batch.size
            self.replies.append(Reply("outcomes", batch.number, [], batch.outcomes, complete))
            batch.outcomes = []


class PretendPool:
    """See the module.

    Args:
        seed: of the dice.
        faults: whether there are any.
        recorder: whether anybody knows what a worker was at when it ended.
        live: whether anybody sees that before.
    """

    def __init__(self, seed: int, *, faults: bool = True, recorder: bool = True, live: bool = True) -> None:
        self.dice = random.Random(seed)
        dice = self.dice
        self.seed = seed
        self.faults = faults
        self.recorder = recorder
        self.live = recorder and live
        self.now = 1000.0
        self.most_tasks = dice.choice([math.inf, math.inf, math.inf, 1, 3, 10])
        self.rules = Rules(
            prefetch=recorder and dice.random() < 0.8,
            sees_running=self.live,
            notice=dice.choice([0.0, 0.0, 2.0]),
            max_tasks_per_worker=self.most_tasks,
            cancel_grace=0.5,
            start_timeout=20.0,
            queue_timeout=dice.choice([math.inf, math.inf, 30.0]),
            idle_timeout=1.0,
            max_restarts=dice.choice([0, 1, 3]),
            restart_delay=lambda attempt: 0.1 * 2**attempt,
        )
        most = dice.choice([1, 1, 2, 3, 6])
        self.scheduler: Scheduler[PretendTask] = Scheduler(
            self.rules, (dice.randrange(most + 1) if dice.random() < 0.3 else most, most)
        )
        self.initializes = dice.random() < 0.2
        self.kinds = [Kind(dice.choice([1e-5, 1e-4, 0.003, 0.1, 2.0])) for _ in range(3)]
        self.tasks: list[PretendTask] = []
        self.seqs = 1
        self.processes: dict[int, Process] = {}
        self.buried: dict[int, Process] = {}
        self.sends: list[Send[PretendTask]] = []
        self.wakes = True
        self.due = math.inf
        self.seen: dict[int, Note | None] = {}
        self.broke = False

    # --- what happens ---------------------------------------------------------------------------------

    def run(self, steps: int = 80) -> None:
        """One history, from its first step to its end."""
        for _ in range(steps):
            self.step()
            self.check()
        self.faults = False
        self.scheduler.ending = True
        self.wakes = True
        self.finish()

    def step(self) -> None:
        dice = self.dice
        choices = [self.submit, self.submit, self.pass_time, self.turn, self.work, self.work, self.work]
        choices += [self.deliver_send] * 2 + [self.deliver_reply] * 3 + [self.obey, self.place]
        if self.faults:
            choices += [self.cancel, self.resize]
            if dice.random() < 0.25:
                choices += [self.kill, self.cut]
        dice.choice(choices)()

    def submit(self) -> None:
        if self.scheduler.closed:
            return
        dice = self.dice
        for _ in range(dice.choice([1, 1, 1, 2, 3, 12])):
            kind = dice.choice(self.kinds)
            self.seqs += 1
            odd = self.faults and dice.random() < 0.1
            task = PretendTask(
                self.seqs,
                kind,
                kind.seconds * (1000 if odd and dice.random() < 0.3 else 1),
                timeout=dice.choice([0.05, 1.0]) if odd else None,
                max_retries=dice.choice([0, 1, 3]),
                kills=dice.choice([1, 2, 9]) if odd and dice.random() < 0.3 else 0,
            )
            self.tasks.append(task)
            followup = self.scheduler.submit(task)
            if followup is FEED and dice.random() < 0.7:
                self.feed()
            elif followup is TICK:
                self.wakes = True
        self.feed()

    def feed(self) -> None:
        while (send := self.scheduler.next_batch(self.now)) is not None:
            for task in send.tasks:
                assert not task.ends, f"{task} is over, and sent"
                task.sent_to.append(send.process)
            self.sends.append(send)
        if self.scheduler.wants_tick:
            self.wakes = True

    def deliver_send(self) -> None:
        if not self.sends:
            return
        dice = self.dice
        send = self.sends.pop(dice.randrange(len(self.sends)))
        process = self.processes.get(send.process)
        sent = list(send.tasks)
        unsent: list[PretendTask] = []
        if self.faults and dice.random() < 0.1:
            task = dice.choice(sent)
            sent.remove(task)
            if self.scheduler.spoiled(send.process, task.seq) is not None:
                self.end(task, "spoiled")
        if self.faults and len(sent) > 1 and dice.random() < 0.2:
            cut = dice.randrange(1, len(sent))
            sent, unsent = sent[:cut], sent[cut:]
        if process is not None and not process.is_reachable and not process.has_ended:
            self.scheduler.link_failed(send.process, self.now)
            self.wakes = True
        elif process is not None and sent and not process.has_ended:
            if dice.random() < 0.2:
                self.scheduler.defines(send.process, send.batch)
            batch = Batch(send.batch, len(sent))
            process.queue.extend((batch, task) for task in sent)
        self.do(self.scheduler.sent(send.process, unsent, self.now, empty=not sent))
        self.feed()

    def pass_time(self) -> None:
        self.go_to(self.now + self.dice.choice([1e-5, 0.001, 0.03, 0.06, 0.5, 1.5]))

    def go_to(self, now: float) -> None:
        self.now = max(self.now, now)
        for process in self.processes.values():
            if process.ends_at <= self.now:
                self.die(process)

    def turn(self) -> None:
        """The engine's thread looks, if it was woken or has slept for long enough."""
        if self.wakes or self.due <= self.now:
            self.look()

    def look(self) -> None:
        self.wakes = False
        scheduler = self.scheduler
        if scheduler.killed:
            self.break_down()
        for number, process in list(self.processes.items()):
            if process.has_ended:
                if process.is_mute:
                    continue
                note = process.note if self.recorder else None
                scheduler.ended(number, note, self.now, is_blameless=process.is_blameless)
            elif process.is_placed:
                scheduler.running(number, self.now)
            else:
                scheduler.queued(number, self.now)
        self.seen = {
            number: self.processes[number].note if self.live else None
            for number in scheduler.to_observe()
            if number in self.processes
        }
        self.do(scheduler.tick(self.now, self.seen))
        assert sum(not slot.retiring for slot in scheduler.crew.slots) <= scheduler.sizing.bounds[1]
        self.feed()
        self.due = scheduler.next_due(self.now, self.seen)

    def place(self) -> None:
        """An engine has a place for a process, or a process comes up."""
        waiting = [each for each in self.processes.values() if not each.has_announced and not each.has_ended]
        if not waiting:
            return
        process = self.dice.choice(waiting)
        if process.is_placed and self.faults and self.dice.random() < 0.1:
            process.is_placed = False  # its engine has changed its mind
        elif not process.is_placed:
            process.is_placed = True
        else:
            self.come_up(process)
            return
        self.wakes = True

    def come_up(self, process: Process) -> None:
        process.has_announced = True
        self.do(self.scheduler.found(process.number, self.now, initialize=self.initializes))
        if self.initializes:
            process.replies.append(Reply("set_up", 0, [], [], complete=True))
        self.feed()

    # --- what workers do ------------------------------------------------------------------------------

    def work(self) -> None:
        busy = [
            each for each in self.processes.values() if not each.has_ended and (each.queue or each.current)
        ]
        if not busy:
            return
        process = self.dice.choice(busy)
        if process.current is None:
            self.begin(process)
            return
        batch, task, since = process.current
        if task.kills:
            task.kills -= 1
            self.die(process)
            return
        if since + task.seconds > self.now:
            if self.dice.random() < 0.5:
                return
            self.go_to(since + task.seconds)
            if process.has_ended:
                return
        process.current = None
        late = task.timeout is not None and self.now - since > task.timeout
        batch.outcomes.append((task.seq, not late and self.dice.random() < 0.9, task.seconds))
        batch.over += 1
        process.reply(batch, now=batch.over == batch.size or self.dice.random() < 0.3)
        if process.queue and self.dice.random() < 0.7:
            self.begin(process)

    def begin(self, process: Process) -> None:
        batch, task = process.queue.popleft()
        process.current = (batch, task, self.now)
        process.note = Note(task.seq, self.now, begun=True)
        process.begun += 1
        assert process.begun <= self.most_tasks, f"{process.number} was given too many tasks"
        others = [
            each.number
            for each in (*self.processes.values(), *self.buried.values())
            if each is not process and each.current is not None and each.current[1] is task
        ]
        assert not others, f"{task} runs in {others} and in {process.number}"
        assert task.max_retries or not task.begun_in, f"{task} must not start twice"
        task.begun_in.append(process.number)

    def obey(self) -> None:
        """A worker hears what it was asked."""
        asked = [each for each in self.processes.values() if each.asked and not each.has_ended]
        if not asked:
            return
        process = self.dice.choice(asked)
        match process.asked.popleft():
            case AskBack():
                process.replies.append(Reply("given back", 0, process.withdraw(None), [], complete=True))
            case Tell(_, seq, drop):
                if drop and process.withdraw(seq):
                    process.replies.append(Reply("dropped", 0, [seq], [], complete=True))

    def deliver_reply(self) -> None:
        talking = [each for each in self.processes.values() if each.replies]
        if not talking:
            return
        process = self.dice.choice(talking)
        # Small replies overtake large ones.
        place = self.dice.randrange(len(process.replies)) if self.dice.random() < 0.2 else 0
        if process.replies[place].kind == "outcomes":
            place = next(at for at, each in enumerate(process.replies) if each.kind == "outcomes")
        reply = process.replies.pop(place)
        number, scheduler = process.number, self.scheduler
        if reply.kind == "set_up":
            self.do(scheduler.set_up(number, self.now))
        elif reply.kind == "given back":
            self.do(scheduler.given_back(number, reply.seqs))
        elif reply.kind == "dropped":
            self.do(scheduler.dropped(number, reply.seqs[0]))
        else:
            tasks = scheduler.finished(number, reply.batch, reply.outcomes, self.now, complete=reply.complete)
            self.feed()
            for task, (_, has_value, _) in zip(tasks, reply.outcomes, strict=True):
                if task is not None and not has_value and self.faults and self.dice.random() < 0.2:
                    task.begun_in.remove(number)  # it was not rebuilt there, and so did not run
                    self.seqs += 1
                    self.do(scheduler.submit_again(task, self.seqs))
                elif task is not None:
                    self.end(task, "value" if has_value else "raised")
            if scheduler.needs_tick(number):
                self.wakes = True
        self.feed()

    def die(self, process: Process) -> None:
        """A process ends. Some of what it said last is lost."""
        if process.has_ended:
            return
        process.has_ended = True
        process.current = None
        process.queue.clear()
        kept = self.dice.randrange(len(process.replies) + 1)
        process.replies = process.replies[:kept]
        if process.has_announced and self.dice.random() < 0.7:
            self.scheduler.link_failed(process.number, self.now)
        self.wakes = True

    # --- faults ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        living = [each for each in self.processes.values() if each.is_placed and not each.has_ended]
        if living:
            process = self.dice.choice(living)
            process.is_blameless = self.dice.random() < 0.3
            self.die(process)

    def cut(self) -> None:
        """A worker cannot be reached any more, though it runs."""
        living = [each for each in self.processes.values() if each.has_announced and not each.has_ended]
        if living:
            process = self.dice.choice(living)
            process.is_reachable = False
            process.replies.clear()
            process.asked.clear()
            self.scheduler.link_failed(process.number, self.now)
            self.wakes = True

    def cancel(self) -> None:
        if not self.tasks:
            return
        task = self.dice.choice(self.tasks)
        if task.ends or task.is_cancelled:
            return
        if not task.started:
            task.is_cancelled = True
            task.ends.append("cancelled")
            return
        self.do(self.scheduler.cancel(task, self.now, kill=self.dice.random() < 0.5))
        self.feed()

    def resize(self) -> None:
        if self.dice.random() < 0.1:
            most = self.dice.choice([1, 2, 4])
            self.scheduler.resize((self.dice.choice([most, 1]), most))
            self.wakes = True

    # --- what the scheduler asks for ------------------------------------------------------------------

    def do(self, actions: Iterable[Action[PretendTask]]) -> None:
        for action in actions:
            match action:
                case Settle(task, verdict, _):
                    self.end(task, verdict.name)
                case Tell(number) | AskBack(number):
                    process = self.processes.get(number)
                    if process is not None and process.is_reachable:
                        process.asked.append(action)
                case Start(_, numbers):
                    self.start(numbers)
                case End(number, reason):
                    self.end_process(number, reason)
                case Ready():
                    self.feed()
                case Lost():
                    self.lose(action)
                case GiveUp():
                    self.break_down()
                case Removed(_, number):
                    self.forget(number)
                case WakeUp():
                    self.wakes = True

    def start(self, numbers: tuple[int, ...]) -> None:
        if self.faults and self.dice.random() < 0.05:
            for number in numbers:
                self.processes[number] = Process(number)
                self.processes[number].has_ended = True
            self.do(self.scheduler.not_launched(numbers, self.now))
            return
        for number in numbers:
            self.processes[number] = Process(number)

    def end_process(self, number: int, reason: EndReason) -> None:
        process = self.processes[number]
        process.is_mute = self.faults and reason in _NOT_NEEDED and self.dice.random() < 0.1
        process.ends_at = min(process.ends_at, self.now + (0.0 if reason is EndReason.KILLED else 0.5))
        if not process.is_placed:
            self.die(process)

    def lose(self, lost: Lost[PretendTask]) -> None:
        process = self.processes[lost.process]
        assert process.has_ended or lost.late or not process.is_reachable, f"{lost} is about one that runs"
        if lost.killer is not None:
            assert lost.killer.deaths == lost.killer.max_retries + 1
            self.end(lost.killer, "lost")
        self.forget(lost.process)

    def forget(self, number: int) -> None:
        process = self.processes.pop(number, None)
        if process is not None:
            process.replies.clear()
            if not process.has_ended:
                self.buried[number] = process

    def break_down(self) -> None:
        self.broke = True
        self.do(self.scheduler.break_down())

    def end(self, task: PretendTask, how: str) -> None:
        task.ends.append(how)
        assert len(task.ends) == 1, f"{task} ended twice"
        if how == Verdict.BROKEN.name:
            assert self.broke
        self.scheduler.settled()
        if self.scheduler.ending:
            self.wakes = True

    # --- promises -------------------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold at any time."""
        scheduler = self.scheduler
        holders: dict[int, int] = {}
        for slot in scheduler.crew.slots:
            for seq, task in slot.load.outstanding.items():
                assert seq not in holders, f"{task} is with {holders[seq]} and {slot.process}"
                holders[seq] = slot.process
                assert not task.ends, f"{task} is over, and still with {slot.process}"
        for task in self.tasks:
            assert task.deaths <= task.max_retries + 1
            # Without a recorder nobody knows whether it had begun.
            tries = task.begun_in if self.live else task.sent_to
            assert task.deaths <= len(tries), f"{task} was charged though it did not run"

    def finish(self) -> None:
        """Let everything that is under way come to its end, with nothing but what the scheduler asked for."""
        for _ in range(100_000):
            if self.scheduler.is_over and not self.sends:
                break
            if not self.act():
                assert self.due < math.inf, f"the pool waits for nothing, with {self.unsettled()}"
                ends = [each.ends_at for each in self.processes.values() if not each.has_ended]
                self.go_to(min([self.due, *ends]))
                self.turn()
        else:
            raise AssertionError(f"the pool does not come to an end, with {self.unsettled()}")
        self.check()
        assert not self.unsettled()

    def act(self) -> bool:
        """Do something that needs no time, or the work of a worker; False if there is nothing."""
        if self.wakes:
            self.look()
            return True
        if self.sends:
            self.deliver_send()
            return True
        for process in list(self.processes.values()):
            if process.replies:
                self.deliver_reply()
                return True
            if process.has_ended:
                continue
            if not process.has_announced:
                self.place()
                return True
            if process.asked and process.is_reachable:
                self.obey()
                return True
            if process.current is not None or process.queue:
                self.work()
                return True
        return False

    def unsettled(self) -> list[PretendTask]:
        return [task for task in self.tasks if not task.ends]
