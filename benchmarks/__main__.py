"""The command line: `python -m benchmarks`, from the repository's root."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import check, docs, report
from benchmarks.peers import MODULES
from benchmarks.plan import BENCHMARKS, GROUPS
from benchmarks.results import Results
from benchmarks.runner import Runner, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def choices(allowed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(filter(None, (name.strip() for name in text.split(","))))
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(allowed)}")
        if not names:
            raise argparse.ArgumentTypeError(f"no name given; there are {', '.join(allowed)}")
        return tuple(name for name in allowed if name in names)

    return parse


def above_zero(kind: type[int | float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = kind(0)
        if not 0 < number < float("inf"):
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not a {whole}number above 0")
        return number

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
    parsed.add_argument(
        "--rounds", type=above_zero(int), help="rounds of each benchmark (default: 5; quick: 2)"
    )
    parsed.add_argument(
        "--seconds", type=above_zero(float), help="time for the whole run (default: 1800; quick: 84)"
    )
    parsed.add_argument("--json", type=Path, metavar="FILE", help="write everything measured, by round")
    parsed.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parsed.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write performance.md, its plots and its JSON there"
    )
    instead = parsed.add_mutually_exclusive_group()
    instead.add_argument(
        "--from", dest="kept", type=Path, metavar="FILE", help="measure nothing: take what --json has written"
    )
    instead.add_argument(
        "--check",
        action="store_true",
        help="within 60 s: iris beside a bare gRPC stream; 1 if a ratio is worse than half of the recorded",
    )
    instead.add_argument("--record", action="store_true", help="measure as --check does, and record that")
    return parsed


def measured(arguments: argparse.Namespace) -> Results:
    chosen = [benchmark for benchmark in BENCHMARKS.values() if benchmark.group in arguments.only]
    settings = Settings(
        peers=arguments.peers,
        benchmarks=[one.name for one in chosen if one.in_quick or not arguments.quick],
        rounds=arguments.rounds or (2 if arguments.quick else 5),
        seconds=arguments.seconds or (84.0 if arguments.quick else 1800.0),
        quick=arguments.quick,
    )
    return Runner(settings).run()


def kept(file: Path) -> Results:
    try:
        return Results.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SystemExit(f"--from {file}: {error}") from error


def main() -> int:
    arguments = parser().parse_args()
    if arguments.docs is not None:
        docs.prepare(arguments.docs)
    # The same orderly end for `kill` as for Ctrl-C, also where a shell started us in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.check or arguments.record:
            return check.record() if arguments.record else check.check()
        results = kept(arguments.kept) if arguments.kept else measured(arguments)
    except KeyboardInterrupt:
        print("interrupted; all processes are ended", file=sys.stderr)
        return 130
    print(report.as_text(results))
    if arguments.json is not None:
        arguments.json.write_text(results.as_text_of_json(), encoding="utf-8")
    if arguments.markdown is not None:
        arguments.markdown.write_text(report.as_markdown(results), encoding="utf-8")
    if arguments.docs is not None:
        docs.write(results, arguments.docs)
    return 1 if results.mismatch else 0


if __name__ == "__main__":
    sys.exit(main())
