"""LauncherContract: the tests that a launcher passes, for launchers of one's own too.

::

    class TestMyLauncher(LauncherContract):
        def make_launcher(self) -> Launcher:
            return MyLauncher(partition="debug")

pytest collects the methods that begin with ``test_``; they need no fixtures, so any other runner will do. The
replicas are interpreters (`Launcher.python`) that must be able to import iris_actor. What the tests learn
from a replica comes by its exit code and its log, so they need no disk that is shared.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import iris_actor
from iris_actor.work.launch.launch_spec import LaunchSpec
from iris_actor.work.launch.launcher import Launch, Launcher, check_launch, check_launcher
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus

_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = (
    "import signal, sys, time; signal.signal(15, signal.SIG_IGN);"
    " print('up', file=sys.stderr, flush=True); time.sleep(600)"
)
_POLITE = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(4));"
    " print('up', file=sys.stderr, flush=True); time.sleep(600)"
)
_SECRETS = """
import hashlib, json, os, sys
from iris_actor.work.process.process_secrets import take_secrets
secrets = take_secrets()
seen = b"".join(open("/proc/self/" + name, "rb").read() for name in ("environ", "cmdline"))
listed = any(value.encode() in seen for value in secrets.values())
digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in secrets.items()}
print(json.dumps([digests, take_secrets(), listed, sorted(os.environ)]), file=sys.stderr)
"""


class LauncherContract:
    """What is asked of a launcher. Subclasses say how one is made, and how patient the tests are.

    Attributes:
        patience: seconds within which the engine starts a small process and tells of its start or end.
        time_limit: the shortest `LaunchSpec.time_limit` that the engine keeps.
        time_limit_delay: seconds by which it may be late with that.
    """

    patience: float = 20.0
    time_limit: float = 1.0
    time_limit_delay: float = 20.0

    def make_launcher(self) -> Launcher:
        """A launcher of the kind that is tested. The test closes it."""
        raise NotImplementedError

    # --- what replicas get ----------------------------------------------------------------------------

    def test_it_has_all_parts_of_the_contract(self) -> None:
        """Members are there, and say what they promise."""
        with self.make_launcher() as launcher:
            check_launcher(launcher)
            _expect(bool(launcher.traits.kind), "traits.kind names the engine")
            _expect(launcher.traits.poll_interval > 0, "traits.poll_interval is a number of seconds")
            launch = launcher.launch(self.python(launcher, "pass"))
            check_launch(launch)
            _expect(launch.ref.startswith(f"{launcher.traits.kind}:"), f"{launch.ref!r} begins with the kind")
            _expect(launch.ref.isprintable(), f"{launch.ref!r} is printable")
            self.wait_ended(launch)

    def test_replicas_learn_their_index_and_number(self) -> None:
        """IRIS_TASK_INDEX and IRIS_NUM_TASKS."""
        source = (
            "import os, sys;"
            "sys.exit(10 * int(os.environ['IRIS_NUM_TASKS']) + int(os.environ['IRIS_TASK_INDEX']))"
        )
        with self.make_launcher() as launcher:
            statuses = self.wait_ended(launcher.launch(self.python(launcher, source, replicas=3)))
            codes = [status.exit_code for status in statuses]
            _expect(codes == [30, 31, 32], f"replicas exit with index and number, got {codes}")

    def test_replicas_get_the_environment_of_their_spec(self) -> None:
        """`LaunchSpec.env` reaches them as it is."""
        value = "a b'c\"d$HOME;\\n%é"
        source = f"import os, sys; sys.exit(0 if os.environ['GIVEN'] == {value!r} else 1)"
        with self.make_launcher() as launcher:
            (status,) = self.wait_ended(launcher.launch(self.python(launcher, source, env={"GIVEN": value})))
            _expect(status.exit_code == 0, f"the variable arrives unchanged, got {status}")

    def test_secrets_reach_replicas_and_nobody_else(self) -> None:
        """They are in no environment and on no command line, and can be taken once."""
        hidden = uuid.uuid4().hex
        secrets = {"CONTRACT_TOKEN": hidden + "'\"$x\n\\%é", "OTHER": "x" * 10_000}
        digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in secrets.items()}
        with self.make_launcher() as launcher:
            spec = self.python(launcher, _SECRETS, secrets=secrets, replicas=2)
            _expect(hidden not in repr(spec), "the repr of a spec shows no secret")
            launch = launcher.launch(spec)
            _expect(hidden not in launch.ref, "a ref shows no secret")
            self.wait_ended(launch)
            for replica in range(2):
                text = launch.logs(replica, tail=1)
                _expect(text.startswith("["), f"the replica reads its secrets; it wrote {text!r}")
                first, second, listed, variables = json.loads(text)
                _expect(first == digests, f"all secrets arrive unchanged, got {sorted(first)}")
                _expect(second == {}, "secrets can be taken once")
                _expect(not listed, "the secret is neither in the environment nor on the command line")
                _expect("CONTRACT_TOKEN" not in variables, "the secret is no variable")

    # --- how they end ---------------------------------------------------------------------------------

    def test_exit_codes_and_signals_are_told_as_their_own(self) -> None:
        """The code, or the name of the signal, and the cause."""
        with self.make_launcher() as launcher:
            exits = launcher.launch(self.python(launcher, "import sys; sys.exit(7)"))
            dies = launcher.launch(
                self.python(launcher, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
            )
            (status,) = self.wait_ended(exits)
            _expect((status.exit_code, status.signal) == (7, None), f"the exit code is told, got {status}")
            _expect(status.cause is Cause.OWN, f"it ended by itself, got {status}")
            (status,) = self.wait_ended(dies)
            _expect(
                (status.exit_code, status.signal) == (None, "SIGTERM"), f"the signal is told, got {status}"
            )
            _expect(status.cause is Cause.OWN, f"it ended by itself, got {status}")

    def test_the_last_lines_are_there_when_a_replica_has_ended(self) -> None:
        """`logs` has them, or `traits.keeps_logs` is False."""
        source = "import sys; [print('line', i, file=sys.stderr) for i in range(5)]; print('out')"
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, source))
            self.wait_ended(launch)
            if launcher.traits.keeps_logs:
                lines = [line for line in launch.logs(0).splitlines() if line.startswith("line")]
                _expect(lines == [f"line {i}" for i in range(5)], f"stderr is kept, got {lines}")
                _expect("out" in launch.logs(0, "stdout"), "stdout is kept")
                _expect(len(launch.logs(0, tail=2).splitlines()) == 2, "`tail` gives so many lines")

    def test_notify_is_called_by_the_time_that_a_replica_has_ended(self) -> None:
        """It may be called more often than that."""
        called = threading.Event()
        with self.make_launcher() as launcher:
            launcher.launch(self.python(launcher, "pass"), notify=called.set)
            _expect(called.wait(self.patience), "notify is called")

    def test_a_command_that_is_not_there_is_an_error_or_a_failed_replica(self) -> None:
        """At once, where the engine is here; else it ends with a code that is not 0."""
        with self.make_launcher() as launcher:
            try:
                launch = launcher.launch(LaunchSpec("missing", ("/no-such-program",)))
            except OSError:
                return
            (status,) = self.wait_ended(launch)
            _expect(status.exit_code != 0, f"it did not run, got {status}")

    def test_cancel_asks_first_and_kills_after_the_grace(self) -> None:
        """A replica that obeys exits with its own code; one that does not is killed."""
        with self.make_launcher() as launcher:
            polite = launcher.launch(self.python(launcher, _POLITE))
            self.wait_up(polite)
            polite.cancel(grace=self.patience)
            (status,) = self.wait_ended(polite)
            _expect(status.cause is Cause.CANCELLED, f"it was cancelled, got {status}")
            _expect(status.exit_code in {4, None}, f"it was asked to end, not killed, got {status}")
            _expect(status.signal != "SIGKILL", f"it was asked to end, not killed, got {status}")
            stubborn = launcher.launch(self.python(launcher, _STUBBORN))
            self.wait_up(stubborn)
            stubborn.cancel(grace=0.2)
            (status,) = self.wait_ended(stubborn)
            _expect(status.cause is Cause.CANCELLED, f"it was cancelled, got {status}")
            _expect(status.signal in {"SIGKILL", None}, f"it was killed, got {status}")

    def test_cancel_of_one_replica_leaves_the_others(self) -> None:
        """Only the one that is named ends."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, _SLEEP, replicas=2))
            self.wait_running(launch)
            launch.cancel(1, grace=0.0)
            self.wait(lambda: launch.poll()[1].state is ReplicaState.ENDED, "the replica ends")
            _expect(launch.poll()[0].state is ReplicaState.RUNNING, "the other one runs")

    def test_cancel_of_another_attempt_does_nothing(self) -> None:
        """A replica that was started again is not ended for what its predecessor did."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, _SLEEP, replicas=2))
            (first, _) = self.wait_running(launch)
            launch.cancel(0, attempt=first.attempt + 1, grace=0.0)
            launch.cancel(1, attempt=first.attempt, grace=0.0)
            self.wait(
                lambda: launch.poll()[1].state is ReplicaState.ENDED, "the replica of that attempt ends"
            )
            _expect(launch.poll()[0].state is ReplicaState.RUNNING, "the one of another attempt runs")

    def test_a_cancel_does_not_change_the_cause_of_an_end_that_came_before(self) -> None:
        """The first cause counts, whether or not the end had been told."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, "import sys; sys.exit(3)"))
            (before,) = self.wait_ended(launch)
            launch.cancel(grace=0.0)
            (after,) = launch.poll()
            _expect(after == before, f"the status stays, got {after} after {before}")
            _expect((after.exit_code, after.cause) == (3, Cause.OWN), f"it ended by itself, got {after}")

    def test_a_time_limit_ends_a_replica_and_is_told(self) -> None:
        """The cause is the limit, not the signal by which the engine kept it."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, _SLEEP, time_limit=self.time_limit))
            patience = self.patience + self.time_limit + self.time_limit_delay
            (status,) = self.wait_ended(launch, patience)
            _expect(status.cause is Cause.TIME_LIMIT, f"its time limit was over, got {status}")

    def test_what_is_known_has_an_age(self) -> None:
        """`known_at` moves on while the engine answers, and a status does not differ by it."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, _SLEEP))
            (first,) = self.wait_running(launch)
            self.wait(lambda: launch.poll()[0].known_at > first.known_at, "the engine is asked again")
            (second,) = launch.poll()
            _expect(second == first, f"nothing has changed, got {second} after {first}")
            _expect(0.0 <= second.age <= self.patience, f"the age is a number of seconds, got {second.age}")

    # --- from elsewhere, and the end ------------------------------------------------------------------

    def test_another_launcher_attaches_to_a_launch_and_ends_it(self) -> None:
        """By its ref alone; closing that launcher ends nothing."""
        with self.make_launcher() as launcher:
            launch = launcher.launch(self.python(launcher, _SLEEP, replicas=2))
            self.wait_running(launch)
            with self.make_launcher() as other:
                seen = other.attach(launch.ref)
                _expect(seen.ref == launch.ref, "a ref stays the same")
                self.wait_running(seen)
            _expect(all(each.state is ReplicaState.RUNNING for each in launch.poll()), "both run on")
            with self.make_launcher() as other:
                other.attach(launch.ref).cancel(0, grace=1.0)
                self.wait(lambda: launch.poll()[0].state is ReplicaState.ENDED, "the replica ends")
                self.wait(
                    lambda: other.attach(launch.ref).poll()[0].state is ReplicaState.ENDED, "both see the end"
                )
            _expect(launch.poll()[1].state is ReplicaState.RUNNING, "the other replica runs on")

    def test_a_ref_of_another_kind_is_refused(self) -> None:
        """With a ValueError, before anything is asked."""
        with self.make_launcher() as launcher:
            for ref in ("", "otherkind:1", f"{launcher.traits.kind}:"):
                try:
                    launcher.attach(ref)
                except ValueError:
                    continue
                raise AssertionError(f"the ref {ref!r} is refused")

    def test_close_ends_all_and_leaves_nothing(self) -> None:
        """It may be called again; afterwards nothing can be started."""
        launcher = self.make_launcher()
        launch = launcher.launch(self.python(launcher, _SLEEP, replicas=2))
        self.wait_running(launch)
        began = time.monotonic()
        left = launcher.close()
        took = time.monotonic() - began
        _expect(left == (), f"nothing is left, got {left}")
        _expect(launcher.close() == (), "it may be closed again")
        _expect(all(each.state is ReplicaState.ENDED for each in launch.poll()), f"got {launch.poll()}")
        most = self.patience + launcher.traits.end_timeout
        _expect(took <= most, f"close comes back within {most:g} s, took {took:.1f} s")
        try:
            launcher.launch(self.python(launcher, "pass"))
        except RuntimeError:
            return
        raise AssertionError("a closed launcher starts nothing")

    # --- means ----------------------------------------------------------------------------------------

    def python(self, launcher: Launcher, source: str, **options: Any) -> LaunchSpec:
        """The spec of an interpreter that runs `source`, with further fields of `LaunchSpec`."""
        path = [str(Path(iris_actor.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        env = {"PYTHONPATH": os.pathsep.join(filter(None, path)), **options.pop("env", {})}
        name = f"contract-{uuid.uuid4().hex[:6]}"
        return LaunchSpec(name, (*launcher.python, "-c", source), env=env, **options)

    def wait(self, condition: Callable[[], bool], what: str, patience: float | None = None) -> None:
        """Wait until `condition` holds, or fail."""
        end = time.monotonic() + (self.patience if patience is None else patience)
        while not condition():
            _expect(time.monotonic() < end, f"{what} in time")
            time.sleep(0.02)

    def wait_running(self, launch: Launch) -> tuple[ReplicaStatus, ...]:
        """Wait until all replicas run."""
        with _told(launch):
            self.wait(
                lambda: all(status.state is ReplicaState.RUNNING for status in launch.poll()), "they all run"
            )
        return launch.poll()

    def wait_up(self, launch: Launch) -> None:
        """Wait until replica 0 has written its first line to stderr; for a while, where that is not kept."""
        self.wait_running(launch)
        end = time.monotonic() + self.patience
        while "up" not in launch.logs(0) and time.monotonic() < end:
            time.sleep(0.02)

    def wait_ended(self, launch: Launch, patience: float | None = None) -> tuple[ReplicaStatus, ...]:
        """Wait until all replicas have ended."""
        with _told(launch):
            self.wait(
                lambda: all(status.state is ReplicaState.ENDED for status in launch.poll()),
                "they all end",
                patience,
            )
        return launch.poll()


@contextmanager
def _told(launch: Launch) -> Iterator[None]:
    """Adds what is known of the replicas to an error."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"known of them: {launch.poll()}")
        raise


def _expect(holds: bool, what: str) -> None:
    # Not an assert statement: these tests are part of a package, and hold under -O, too.
    if not holds:
        raise AssertionError(f"the contract of launchers asks that {what}")
