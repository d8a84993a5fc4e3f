"""A session goes from one state to another only as the diagram says."""

from __future__ import annotations

import itertools

import pytest

from iris_actor.rpc.protocol.session_state import SessionState as State

ALLOWED = {
    (State.NEW, State.OPEN),
    (State.NEW, State.CLOSED),
    (State.OPEN, State.PARKED),
    (State.OPEN, State.CLOSED),
    (State.PARKED, State.OPEN),
    (State.PARKED, State.CLOSED),
}


@pytest.mark.parametrize(("state", "following"), list(itertools.product(State, State)))
def test_a_session_takes_only_the_steps_of_the_diagram(state: State, following: State) -> None:
    if state is following or (state, following) in ALLOWED:
        assert state.to(following) is following
    else:
        with pytest.raises(ValueError, match=f"{state.value} cannot become {following.value}"):
            state.to(following)
