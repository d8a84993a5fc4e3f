"""JoblibOptions: what joblib's users may say to the backend, in `Parallel` or in `parallel_config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from iris_actor.integrations.reusable_pool import IDLE_TIMEOUT

_OF_WORKERS = ("initializer", "initargs", "idle_worker_timeout")
_WITHOUT_EFFECT = {"context", "prefer", "require", "temp_folder", "verbose"}
"""What joblib sees to itself; and the folder of files by which other backends share arrays, where there are
no files."""
_REFUSED = {
    "timeout": "how long idle workers are kept is idle_worker_timeout; how long to wait, Parallel is told",
    "env": "set it in os.environ before the workers start, or pass a WorkerPool(env=...) as pool=",
}


@dataclass(frozen=True, slots=True)
class JoblibOptions:
    """The options of one `Parallel`.

    Attributes:
        max_nbytes: size from which arrays among the arguments are shared and read-only; None for never.
        initializer: called in each worker before its first call.
        initargs: its arguments.
        idle_timeout: seconds without a call after which a worker ends.
    """

    max_nbytes: int | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    idle_timeout: float = IDLE_TIMEOUT

    @classmethod
    def of(cls, given: Mapping[str, Any], *, own_workers: bool) -> Self:
        """The options that `given` stands for.

        Args:
            given: what joblib hands over.
            own_workers: whether the backend starts the workers.

        Raises:
            ValueError: naming an option that cannot be honoured, and what to do.
        """
        options = dict(given)
        for name, advice in _REFUSED.items():
            if options.get(name) is not None:
                raise ValueError(f"the iris backend does not take {name}: {advice}")
        for name in _OF_WORKERS:
            if not own_workers and options.get(name):
                raise ValueError(
                    f"{name} is for workers that the backend starts; the pool that is passed as pool= has an"
                    f" {'idle_timeout' if name == 'idle_worker_timeout' else name} of its own"
                )
        mode = options.pop("mmap_mode", None)
        if mode not in {None, "r", "c"}:
            raise ValueError(
                f"the iris backend does not take mmap_mode={mode!r}: what a call writes into an array is not"
                " seen by others. Return it; or say mmap_mode='c' for arrays that calls may write to"
            )
        # In the other modes calls get arrays of their own, and may write to them.
        max_nbytes = options.pop("max_nbytes", None)
        idle = options.pop("idle_worker_timeout", None)
        found = cls(
            max_nbytes=max_nbytes if mode == "r" else None,
            initializer=options.pop("initializer", None),
            initargs=tuple(options.pop("initargs", ())),
            idle_timeout=IDLE_TIMEOUT if idle is None else idle,
        )
        unknown = [name for name in options if name not in _WITHOUT_EFFECT | _REFUSED.keys()]
        if unknown:
            known = ", ".join(
                sorted({*_OF_WORKERS, "inner_max_num_threads", "max_nbytes", "mmap_mode", "pool"})
            )
            raise ValueError(f"the iris backend has no option {unknown[0]!r}; there are {known}")
        return found
