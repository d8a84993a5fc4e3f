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
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
PACKAGE = Path("iris_actor/_proto")
ENVIRONMENT = ROOT / ".venv-protos"
GENERATOR = "grpcio-tools==1.60.2"
WITH_STUBS = {"etcd_rpc.proto"}


def generator() -> Path:
    """The Python that has the generator, made on first use."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / ".installed"
    if not stamp.exists() or stamp.read_text() != GENERATOR:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", GENERATOR, "setuptools<81"]
        subprocess.run(install, check=True)
        stamp.write_text(GENERATOR)
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
        command = [python, "-m", "grpc_tools.protoc", f"-I{SOURCES}", *outputs, source]
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
