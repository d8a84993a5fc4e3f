"""A short run of iris beside a bare gRPC stream, compared with what was recorded: has iris become slow?

Ratios are compared and never times, so that it does not matter how fast the machine is. A ratio has to be
half as good as the recorded one; one that is not is measured again first, because machines are shared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import machine
from benchmarks.plan import BENCHMARKS
from benchmarks.results import REFERENCE
from benchmarks.runner import Runner, Settings

if TYPE_CHECKING:
    from benchmarks.results import Results

BASELINE = Path(__file__).with_name("baseline.json")
CHECKED = ("latency", "throughput-1000", "echo-1 MB")
PEER = "grpc-stream"
TOLERATED = 0.5
"""The part of a recorded ratio that has to be left."""
ROUNDS = 9
SECONDS = 25.0
"""For one attempt; there may be two."""


class CheckError(Exception):
    """There is nothing to compare, or nothing to compare with."""


def check() -> int:
    """Compare with the baseline, tell, and return the exit code."""
    try:
        recorded = baseline()
        attempt = measure(CHECKED)
        tell(attempt, recorded)
        if suspects := worse(attempt, recorded):
            print(f"again, because it may have been the machine: {', '.join(suspects)}")
            attempt = measure(suspects)
            tell(attempt, recorded)
    except CheckError as error:
        print(f"check: {error}")
        return 1
    if slow := worse(attempt, recorded):
        part = f"{TOLERATED:.0%}"
        print(f"check: FAILED: {', '.join(slow)}: less than {part} of the recorded ratio, twice in a row")
        return 1
    print("check: passed")
    return 0


def record() -> int:
    """Measure and write the baseline."""
    try:
        found = measure(CHECKED)
    except CheckError as error:
        print(f"record: {error}")
        return 1
    kept = {"peer": PEER, "machine": machine(), "ratios": {name: round(r, 3) for name, r in found.items()}}
    BASELINE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"recorded in {BASELINE.name}: {kept['ratios']}")
    return 0


def baseline() -> dict[str, float]:
    try:
        kept: Any = json.loads(BASELINE.read_text(encoding="utf-8"))
        recorded = {name: float(kept["ratios"][name]) for name in CHECKED}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckError(f"no baseline in {BASELINE.name}; --record makes one ({error!r})") from error
    if not all(ratio > 0 for ratio in recorded.values()):
        raise CheckError(f"{BASELINE.name} has a ratio that is not above 0: {recorded}")
    return recorded


def measure(names: tuple[str, ...]) -> dict[str, float]:
    """How good iris is beside the peer in each benchmark: above 1 is better than the peer, in all of them."""
    settings = Settings(
        peers=(REFERENCE, PEER), benchmarks=names, rounds=ROUNDS, seconds=SECONDS, quick=False
    )
    results = Runner(settings).run()
    return {name: merit(results, name) for name in names}


def merit(results: Results, name: str) -> float:
    table = results.table(name)
    row = next((row for row in table.rows if row.peer == PEER), None) if table is not None else None
    ratio = table.ratio(row) if table is not None and row is not None else None
    if ratio is None:
        reasons = [f"{peer}: {reason}" for peer, reason in results.absent.items()]
        reasons += [f"{row.label}: {row.error}" for row in (table.rows if table else []) if row.error]
        raise CheckError(f"{name} could not be measured. {'; '.join(reasons)}")
    return 1 / ratio.median if BENCHMARKS[name].lower_is_better else ratio.median


def worse(measured: dict[str, float], recorded: dict[str, float]) -> tuple[str, ...]:
    return tuple(name for name, ratio in measured.items() if ratio < recorded[name] * TOLERATED)


def tell(measured: dict[str, float], recorded: dict[str, float]) -> None:
    for name, ratio in measured.items():
        print(f"{name}: {ratio:.2f}x {PEER}, recorded {recorded[name]:.2f}x ({ratio / recorded[name]:.0%})")
