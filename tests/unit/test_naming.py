"""The naming rule, and what job ids know."""

from __future__ import annotations

import pickle

import pytest

from iris_actor import JobId
from iris_actor.errors import InvalidNameError
from iris_actor.naming import MAX_SEGMENT, check_namespace, qualify


@pytest.mark.parametrize("name", ["calculator", "rl/curriculum", "a", "0", "v1.2-rc_3", "x" * MAX_SEGMENT])
def test_a_valid_name_is_put_into_the_namespace(name):
    assert qualify(name, "demo") == f"demo/{name}"


def test_an_absolute_name_ignores_the_namespace():
    assert qualify("/other/calculator", "demo") == "other/calculator"


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("", ""),
        ("a//b", ""),
        ("a/", ""),
        ("has space", "has space"),
        ("a/naïve", "naïve"),
        ("-dash", "-dash"),
        (".hidden", ".hidden"),
        ("line\n", "line\n"),
        ("x" * (MAX_SEGMENT + 1), "x" * (MAX_SEGMENT + 1)),
    ],
)
def test_a_bad_segment_is_shown_with_the_rule(name, segment):
    with pytest.raises(InvalidNameError) as caught:
        qualify(name, "demo")
    assert isinstance(caught.value, ValueError)
    assert caught.value.segment == segment
    assert repr(segment) in str(caught.value)
    assert "1 to 128 ASCII letters" in str(caught.value)


def test_segments_of_the_framework_are_refused_to_users():
    with pytest.raises(InvalidNameError, match="framework's own") as caught:
        qualify("a/_workerpool", "demo")
    assert caught.value.segment == "_workerpool"
    assert qualify("a/_workerpool", "demo", framework=True) == "demo/a/_workerpool"


def test_an_absolute_name_needs_a_namespace_and_a_name():
    with pytest.raises(InvalidNameError, match="an absolute name is"):
        qualify("/alone", "demo")


@pytest.mark.parametrize("bad", [None, 3, b"bytes"])
def test_names_that_are_no_strings_are_refused(bad):
    with pytest.raises(InvalidNameError):
        qualify(bad, "demo")
    with pytest.raises(InvalidNameError):
        check_namespace(bad)
    with pytest.raises(InvalidNameError):
        JobId(bad)


def test_a_namespace_is_a_single_segment():
    assert check_namespace("demo") == "demo"
    with pytest.raises(InvalidNameError, match="single segment"):
        check_namespace("a/b")


def test_a_job_id_knows_its_relatives():
    job = JobId("abc123/worker-0/sub")
    assert (job.root, job.namespace, job.name) == ("abc123", "abc123", "sub")
    assert job.parent == JobId("abc123/worker-0")
    assert job.child("leaf") == JobId("abc123/worker-0/sub/leaf")
    assert str(job) == "abc123/worker-0/sub"
    assert repr(job) == "JobId('abc123/worker-0/sub')"


def test_a_root_job_has_no_parent():
    assert JobId("abc123").parent is None


def test_job_ids_are_values():
    job = JobId("a/b")
    assert pickle.loads(pickle.dumps(job)) == job
    assert len({job, JobId("a/b")}) == 1
    assert sorted([JobId("b"), JobId("a")]) == [JobId("a"), JobId("b")]


@pytest.mark.parametrize("child", ["", "a/b", "a b"])
def test_a_childs_name_is_one_valid_segment(child):
    with pytest.raises(InvalidNameError):
        JobId("a").child(child)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "a b"])
def test_a_bad_job_id_is_refused(path):
    with pytest.raises(InvalidNameError):
        JobId(path)
