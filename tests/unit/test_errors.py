"""The tree of errors: as drawn, and pickled."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re

import pytest

from iris_actor import errors
from iris_actor.errors import CallError, IrisError

SAMPLES = {
    "InvalidNameError": lambda: errors.InvalidNameError("a/b c", "b c", "the rule"),
    "InvalidURLError": lambda: errors.InvalidURLError("foo://", "unknown scheme"),
    "InsecureServerError": lambda: errors.InsecureServerError("0.0.0.0"),
    "AddressInUseError": lambda: errors.AddressInUseError("127.0.0.1:80"),
    "OutsideJobError": lambda: errors.OutsideJobError("IRIS_JOB_ID"),
    "ForkedProcessError": lambda: errors.ForkedProcessError(7),
    "LauncherContractError": lambda: errors.LauncherContractError("launcher", "Mine", ["traits", "attach"]),
    "PatchedThreadsError": lambda: errors.PatchedThreadsError("gevent"),
    "RegistryUnavailableError": lambda: errors.RegistryUnavailableError("etcd://h:1", "silence"),
    "EtcdNotFoundError": lambda: errors.EtcdNotFoundError(["PATH", "wheel"]),
    "RemoteError": lambda: errors.RemoteError("far.Error", "broken", "Traceback ..."),
    "WorkerLostError": lambda: errors.WorkerLostError(
        "worker-1", exit_code=None, signal="SIGKILL", attempts=3, stderr="last words"
    ),
    "BrokenWorkerPool": lambda: errors.BrokenWorkerPool("no launcher"),
}


def every_class() -> list[type[IrisError]]:
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, IrisError) and value.__module__ == errors.__name__
    ]
    assert len(found) > 20
    return found


def sample(cls: type[IrisError]) -> IrisError:
    """An error as the framework makes it."""
    if cls.__name__ in SAMPLES:
        return SAMPLES[cls.__name__]()
    if issubclass(cls, CallError):
        return cls.of("actor.method", "it went wrong", may_have_run=not cls.may_have_run)
    if "__init__" in vars(cls):
        parameters = list(inspect.signature(cls).parameters.values())
        return cls(*("x" for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty))
    return cls("it went wrong")


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_an_error_pickles_with_its_attributes(cls):
    error = sample(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert vars(copy) == vars(error)
    assert copy.may_have_run is error.may_have_run


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_an_error_says_whether_the_call_may_have_run_and_what_it_means(cls):
    assert isinstance(cls.may_have_run, bool)
    assert cls.__doc__


def drawn_tree() -> dict[str, tuple[str, list[str]]]:
    """Name to (parent, other bases), as the module's docstring draws it."""
    tree: dict[str, tuple[str, list[str]]] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+)(?: \(([\w., ]+)\))?(?:\s{2,}|$)", line)
        if match is None or not (line.strip().startswith("IrisError") or re.search("[├└]", line)):
            continue
        depth = 0 if match[2] == "IrisError" else len(match[1]) // 4 + 1
        path[depth:] = [match[2]]
        tree[match[2]] = (path[depth - 1] if depth else "", (match[3] or "").split(", ") if match[3] else [])
    return tree


def test_the_tree_in_the_docstring_is_the_real_one():
    drawn = drawn_tree()
    assert set(drawn) == {cls.__name__ for cls in every_class()}
    for name, (parent, others) in drawn.items():
        cls = getattr(errors, name)
        bases = [base.__name__ for base in cls.__bases__]
        if name == "IrisError":
            assert bases == ["Exception"]
            continue
        assert bases == [parent, *(other.rpartition(".")[2] for other in others)], name
        for other in others:
            short = other.rpartition(".")[2]
            module = importlib.import_module(other.rpartition(".")[0] or "builtins")
            real = getattr(module, short)
            assert issubclass(cls, real)


def test_what_certainly_never_ran_says_so():
    for cls in (errors.ServerUnavailableError, errors.ActorNotFoundError, errors.ReentrantCallError):
        assert not cls.may_have_run
    for cls in (errors.ConnectionLostError, errors.DeadlineExceededError, errors.CallCancelledError):
        assert cls.may_have_run


def test_a_call_error_names_its_target():
    error = errors.ConnectionLostError.of("demo/actor.method", "gone")
    assert error.target == "demo/actor.method"
    assert str(error) == "demo/actor.method: gone"


def test_an_address_in_use_has_the_errno_of_it():
    error = errors.AddressInUseError("127.0.0.1:80")
    assert error.errno == 98
    assert "127.0.0.1:80" in str(error)


def test_a_remote_traceback_shows_its_text():
    carrier = errors.RemoteTraceback("Traceback (most recent call last):\n  boom")
    assert "boom" in str(carrier)
    assert pickle.loads(pickle.dumps(carrier)).text == carrier.text
