"""The command line: `python -m benchmarks`, from the repository's root."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.peers import MODULES
from benchmarks.plan import GROUPS
from benchmarks.runner import Runner, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def choices(allowed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(filter(None, (name.strip() for name in text.split(","))))
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(allowed)}")
        return tuple(name for name in allowed if name in names)

    return parse


def parser() -> argparse.ArgumentParser:
    peers = tuple(MODULES)
    parsed = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure iris-actor beside its peers, in one run, in alternation, with verified replies.",
        epilog=f"benchmarks: {', '.join(GROUPS)}. peers: {', '.join(peers)}.",
    )
    names = "NAME[,NAME...]"
    parsed.add_argument(
        "--only", metavar=names, type=choices(GROUPS), default=GROUPS, help="these benchmarks"
    )
    parsed.add_argument("--peers", metavar=names, type=choices(peers), default=peers, help="these peers")
    parsed.add_argument("--quick", action="store_true", help="two short rounds, within 90 s: a smoke test")
    parsed.add_argument("--rounds", type=int, help="rounds of each benchmark (default: 5; quick: 2)")
    parsed.add_argument("--seconds", type=float, help="time for the whole run (default: 420; quick: 88)")
    parsed.add_argument("--json", type=Path, metavar="FILE", help="write everything measured, by round")
    parsed.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    return parsed


def main() -> int:
    arguments = parser().parse_args()
    settings = Settings(
        peers=arguments.peers,
        groups=arguments.only,
        rounds=arguments.rounds or (2 if arguments.quick else 5),
        seconds=arguments.seconds or (88.0 if arguments.quick else 420.0),
        quick=arguments.quick,
    )
    # The same orderly end for `kill` as for Ctrl-C, also where a shell started us in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runner = Runner(settings)
    try:
        results = runner.run()
    except KeyboardInterrupt:
        print("interrupted; all processes are ended", file=sys.stderr)
        return 130
    print(report.as_text(results))
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps(results.as_json(), indent=1, ensure_ascii=False), encoding="utf-8"
        )
    if arguments.markdown is not None:
        arguments.markdown.write_text(report.as_markdown(results), encoding="utf-8")
    return 1 if results.mismatch else 0


if __name__ == "__main__":
    sys.exit(main())
