"""The stubs that etcd3 runs on, and protobuf beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iris_actor.etcd.stubs import etcd3, etcdrpc
from tests.support.processes import ROOT, run_script


def test_etcd3_runs_on_our_stubs_and_protobuf_stays_fast():
    seen = run_script(
        """
import os, warnings
warnings.simplefilter("error")
assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" not in os.environ
from iris_actor.etcd.stubs import etcd3, etcdrpc
from google.protobuf.internal import api_implementation
assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" not in os.environ
import etcd3.etcdrpc
print(api_implementation.Type(), etcd3.etcdrpc is etcdrpc, etcdrpc.RangeRequest.__module__)
"""
    )
    assert seen.split() == ["upb", "True", "iris_actor._proto.etcd_rpc_pb2"]


def test_everything_that_etcd3_names_is_there():
    sources = [path.read_text() for path in Path(etcd3.__file__).parent.glob("*.py")]
    names = {name for source in sources for name in re.findall(r"\betcdrpc\.([A-Za-z]\w*)", source)}
    assert len(names) > 25
    assert [name for name in sorted(names) if not hasattr(etcdrpc, name)] == []


def test_etcd3_itself_works_on_them(own_etcd, tmp_path):
    with etcd3.client("127.0.0.1", own_etcd.port, timeout=5) as client:
        client.put("/a", "1")
        assert client.get("/a")[0] == b"1"
        assert client.replace("/a", "1", "2")
        assert [value for value, _ in client.get_prefix("/")] == [b"2"]
        lease = client.lease(30)
        assert lease.refresh()[0].TTL == 30
        assert lease.remaining_ttl in range(25, 31)
        lease.revoke()
        assert client.status().version
        assert [member.name for member in client.members] == ["default"]
        assert list(client.list_alarms()) == []
        client.compact(2)
        client.defragment()
        with (tmp_path / "snapshot").open("wb") as file:
            client.snapshot(file)
        assert (tmp_path / "snapshot").stat().st_size > 10_000
        assert client.delete("/a")


def test_nothing_imports_etcd3_before_it_is_needed():
    seen = run_script(
        """
import sys
from iris_actor.registry import RegistryURL, connect_registry
connect_registry("memory://").close()
RegistryURL.parse("etcd://h:1")
print("etcd3" in sys.modules)
"""
    )
    assert seen.strip() == "False"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "iris_actor/_proto").glob("*_pb2.py")), ids=lambda path: path.name
)
def test_generated_code_suits_the_oldest_protobuf(path):
    text = path.read_text()
    assert "Protobuf Python Version: 4.25" in text
    assert "runtime_version" not in text
