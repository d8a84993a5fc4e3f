"""Description: what a server tells about an actor that it hosts."""

from __future__ import annotations

from iris_actor._proto import session_pb2 as pb
from iris_actor.actor.hosted_actor import HostedActor


def described(hosted: HostedActor) -> pb.ActorDescription:
    """What callers are told about `hosted`."""
    cls = type(hosted.actor)
    methods = [
        pb.MethodDescription(
            name=method.name, signature=signature, doc=doc, kind=method.kind.value, group=method.group
        )
        for method, signature, doc in hosted.describe()
    ]
    return pb.ActorDescription(
        name=hosted.name,
        actor_id=hosted.actor_id,
        type=f"{cls.__module__}.{cls.__qualname__}",
        doc=(cls.__doc__ or "").strip(),
        methods=methods,
    )
