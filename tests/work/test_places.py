"""Where and how a program is started: a pool starts wherever a ProcessPoolExecutor (spawn) does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
{before}

def double(x):
    return 2 * x

if __name__ == "__main__":
    said = os.open(os.environ["SAID"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if sys.argv[1:] != ["pool"]:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
            assert executor.submit(double, 21).result(60) == 42
        os.write(said, b"executor ")
    from iris_actor import WorkerPool
    with WorkerPool(num_workers=1) as pool:
        assert pool.submit(double, 21).result(60) == 42
    os.write(said, b"pool ")
"""


@dataclass(frozen=True)
class Place:
    """How the program is started.

    Attributes:
        name: of the case.
        shell: commands before it.
        command: its command; ``$py`` is the interpreter and ``$prog`` the program.
        env: variables; None removes one.
        before: the first line of the program.
        program: its file.
        files: others beside it.
    """

    name: str
    shell: str = ":"
    command: str = '"$py" "$prog"'
    env: dict[str, str | None] = field(default_factory=dict)
    before: str = ""
    program: str = "program.py"
    files: tuple[str, ...] = ()


PLACES = [
    # limits of the shell
    Place("address space", shell="ulimit -v 2000000"),
    Place("few descriptors", shell="ulimit -n 200"),
    Place("soft limits", shell="ulimit -Sn 64; ulimit -Sf 2048; ulimit -c 0; ulimit -s 1024"),
    # folders
    Place("temporary folder gone", env={"TMPDIR": "/nowhere/at/all"}),
    Place(
        "temporary folder with a long path", shell='mkdir -p "$TMPDIR"', env={"TMPDIR": "$dir/" + "x" * 200}
    ),
    Place("umask", shell="umask 077"),
    Place("spaces and letters", program="ein Ordner/prögramm é.py"),
    # the environment
    Place("no home", env={"HOME": None, "USER": None, "LOGNAME": None}),
    Place("home that is not there", env={"HOME": "/nowhere"}),
    Place("no environment", command='env -i SAID="$SAID" "$py" "$prog"'),
    Place("odd PYTHONPATH", env={"PYTHONPATH": ":$dir::/nowhere:."}),
    Place("PYTHONSAFEPATH", env={"PYTHONSAFEPATH": "1"}),
    Place("C locale", env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    Place("streams of ASCII", env={"PYTHONIOENCODING": "ascii"}),
    # streams and signals
    Place("no streams", command='"$py" "$prog" <&- >&- 2>&-'),
    Place("ignored signals", shell="trap '' INT HUP CHLD"),
    Place("one core", command='taskset -c 0 "$py" "$prog"'),
    # sys.path
    Place("relative path", before="sys.path.insert(0, 'sub')", files=("sub/x.py",)),
    Place("Path in sys.path", before="import pathlib; sys.path.insert(0, pathlib.Path('sub'))"),
    Place("bytes in sys.path", before="sys.path.insert(0, b'sub')"),
    Place("None in sys.path", before="sys.path.insert(0, None)"),
    Place("gone zip in sys.path", before="sys.path.insert(0, '/nowhere/code.zip')"),
    # flags of the interpreter
    Place("isolated", command='"$py" -I "$prog"'),
    Place("without environment", command='"$py" -E "$prog"'),
    Place("optimized", command='"$py" -OO "$prog"'),
    Place("warnings are errors", command='"$py" -X dev -X utf8 -bb -W error "$prog"'),
    Place(
        "as a module",
        command='cd "$dir" && "$py" -m pkg.prog',
        program="pkg/prog.py",
        files=("pkg/__init__.py",),
    ),
    Place("link to the interpreter", shell='ln -s "$py" "$dir/python"', command='"$dir/python" -S "$prog"'),
]

ONLY_POOL = [
    Place(
        "working directory gone",
        shell='mkdir "$dir/gone"; cd "$dir/gone"; rmdir "$dir/gone"',
        command='"$py" "$prog" pool',
    ),
    Place("from stdin", command='"$py" - pool < "$prog"'),
    Place("from the command line", command='"$py" -c "$(cat "$prog")" pool'),
    Place("as a package", command='cd "$dir" && "$py" -m pkg pool', program="pkg/__main__.py"),
    # These are found in the working directory by whatever looks there before it has the driver's path.
    Place(
        "names of other modules in the working directory",
        shell='mkdir "$dir/cwd"; cd "$dir/cwd"; for name in os random logging json uuid grpc; do'
        ' echo "raise SystemExit(9)" > $name.py; done',
        command='"$py" "$prog" pool',
    ),
]  # fmt: skip


def run(place: Place, folder: Path) -> tuple[str, str]:
    """What the program got done, and what it wrote."""
    program = folder / place.program
    for file in (program, *(folder / name for name in place.files)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    program.write_text(PROGRAM.format(before=place.before))
    said = folder / "said"
    env = {**os.environ, "SAID": str(said), "py": sys.executable, "prog": str(program), "dir": str(folder)}
    if "-S" in place.command:  # what site would have found
        env["PYTHONPATH"] = os.pathsep.join(sys.path)
    for name, value in place.env.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value.replace("$dir", str(folder))
    process = subprocess.Popen(
        ["/bin/bash", "-c", f"{place.shell}\n{place.command}"],
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return said.read_text() if said.exists() else "", output


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_pool_starts_where_an_executor_of_the_standard_library_does(place: Place, tmp_path: Path) -> None:
    done, output = run(place, tmp_path)
    assert (done, output) == ("executor pool ", "")


@pytest.mark.parametrize("place", ONLY_POOL, ids=lambda place: place.name)
def test_a_pool_starts_where_the_other_does_not(place: Place, tmp_path: Path) -> None:
    done, output = run(place, tmp_path)
    assert (done, output) == ("pool ", "")


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("ulimit -n 64", "file descriptor limit of etcd process is too low"),
        ("ulimit -f 1024", "file too large"),
        ("ulimit -v 600000", "failed to reserve page summary memory"),
    ],
)
def test_where_no_etcd_can_start_one_sentence_says_why(limit: str, says: str, tmp_path: Path) -> None:
    done, output = run(Place("hard limit", shell=limit, command='"$py" "$prog" pool'), tmp_path)
    assert done == ""
    last = output.strip().splitlines()[-1]
    assert last.startswith("iris_actor.errors.BrokenWorkerPool: the worker pool is broken: no worker can be")
    assert "ended while it started" in last
    assert says in last
    assert output.count("Traceback") == 1
    assert output.count(says) <= 2  # in the error, and in its cause


@pytest.mark.parametrize("value", [None, ""])
def test_a_program_that_embeds_python_is_told_what_to_do_and_may_do_it(
    value: str | None, tmp_path: Path
) -> None:
    done, output = run(
        Place(
            "embedded",
            before=f"real, sys.executable = sys.executable, {value!r}",
            command='"$py" "$prog" pool',
        ),
        tmp_path,
    )
    assert done == ""
    assert (
        "say which one workers are to run, by IrisClient.local(launcher=LocalLauncher(python=...))" in output
    )
    program = tmp_path / "embedding.py"
    program.write_text(
        textwrap.dedent(f"""
            import sys
            real, sys.executable = sys.executable, {value!r}
            from iris_actor import IrisClient, WorkerPool
            from iris_actor.work.launch.local.local_launcher import LocalLauncher

            with (
                LocalLauncher(python=real) as launcher,
                IrisClient.local(launcher=launcher) as client,
                WorkerPool(client, num_workers=1) as pool,
            ):
                print(pool.submit(abs, -42).result(60))
        """)
    )
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "42\n", "")


def test_an_entry_of_the_path_with_a_colon_is_one_entry(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "with_colon.py").write_text("def value():\n    return 7\n")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(folder)!r})
            import with_colon
            from iris_actor import WorkerPool

            with WorkerPool(num_workers=1) as pool:
                print(pool.submit(with_colon.value).result(60))
                print(pool.submit(lambda: {str(folder)!r} in sys.path).result(60))
        """)
    )
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "7\nTrue\n", "")
