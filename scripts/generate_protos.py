"""Generate iris_actor/_proto from protos/.

The generator is that of the oldest grpcio-tools we support, in an environment of its own: newer runtimes
import older generated code, and not the other way round. Messages are generated for every file, stubs
only for etcd's (our own services are called with plain method names).

    python scripts/generate_protos.py            # write
    python scripts/generate_protos.py --check    # exit with 1 when what is committed is stale
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
PACKAGE = Path("iris_actor/_proto")
ENVIRONMENT = ROOT / ".venv-protos"
GENERATOR = "grpcio-tools==1.60.2"
SETUPTOOLS = "setuptools<81"  # it still has pkg_resources, which the generator imports
NEWEST_PYTHON = (3, 12)  # that the generator was built for
WITH_STUBS = {"etcd_rpc.proto"}


def interpreter() -> str:
    """A Python that the generator can be installed for: this one, or an older one on PATH."""
    if sys.version_info[:2] <= NEWEST_PYTHON:
        return sys.executable
    found = shutil.which("python3.12") or shutil.which("python3.11")
    if found is None:
        sys.exit(f"{GENERATOR} runs on Python 3.12 and older: put a python3.12 or python3.11 on PATH")
    return found


def generator() -> Path:
    """The Python that has the generator, made on first use."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / ".installed"
    wanted = f"{GENERATOR} {SETUPTOOLS}"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([interpreter(), "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", GENERATOR, SETUPTOOLS], check=True)
        stamp.write_text(wanted)
    return python


def generate(into: Path) -> list[Path]:
    """Write the generated modules below `into`; returns their paths relative to it."""
    python = generator()
    sources = sorted((SOURCES / PACKAGE).glob("*.proto"))
    (into / PACKAGE).mkdir(parents=True, exist_ok=True)
    for source in sources:
        outputs = [f"--python_out={into}", f"--pyi_out={into}"]
        if source.name in WITH_STUBS:
            outputs.append(f"--grpc_python_out={into}")
        command: list[str | Path] = [python, "-m", "grpc_tools.protoc", f"-I{SOURCES}", *outputs, source]
        subprocess.run(command, check=True)
    return sorted(path.relative_to(into) for path in (into / PACKAGE).glob("*_pb2*"))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Generate iris_actor/_proto from protos/.")
    parser.add_argument("--check", action="store_true", help="only compare, and exit with 1 on a difference")
    if not parser.parse_args().check:
        for path in generate(ROOT):
            print(path)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
        committed = sorted(path.relative_to(ROOT) for path in (ROOT / PACKAGE).glob("*_pb2*"))
        stale = set(fresh) ^ set(committed)
        stale |= {
            path
            for path in set(fresh) & set(committed)
            if not filecmp.cmp(Path(folder) / path, ROOT / path, shallow=False)
        }
    for path in sorted(stale):
        print(f"stale: {path} (run `make protos`)", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
