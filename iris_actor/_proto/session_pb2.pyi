from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OK: _ClassVar[Status]
    EXCEPTION: _ClassVar[Status]
    ACTOR_NOT_FOUND: _ClassVar[Status]
    METHOD_NOT_FOUND: _ClassVar[Status]
    DEADLINE_EXCEEDED: _ClassVar[Status]
    CANCELLED: _ClassVar[Status]
    DRAINING: _ClassVar[Status]
    BACKPRESSURE: _ClassVar[Status]
    REENTRANT: _ClassVar[Status]
    TOO_LARGE: _ClassVar[Status]
    SERIALIZATION: _ClassVar[Status]
    PROTOCOL: _ClassVar[Status]
    CONNECTION_LOST: _ClassVar[Status]
OK: Status
EXCEPTION: Status
ACTOR_NOT_FOUND: Status
METHOD_NOT_FOUND: Status
DEADLINE_EXCEEDED: Status
CANCELLED: Status
DRAINING: Status
BACKPRESSURE: Status
REENTRANT: Status
TOO_LARGE: Status
SERIALIZATION: Status
PROTOCOL: Status
CONNECTION_LOST: Status

class Packet(_message.Message):
    __slots__ = ("seq", "ack", "hello", "welcome", "calls", "items", "replies", "credits", "cancels", "drain", "goodbye", "chunk", "bulk", "segments")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    BULK_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    ack: int
    hello: Hello
    welcome: Welcome
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    replies: _containers.RepeatedCompositeFieldContainer[Reply]
    credits: _containers.RepeatedCompositeFieldContainer[Credit]
    cancels: _containers.RepeatedCompositeFieldContainer[Cancel]
    drain: Drain
    goodbye: Goodbye
    chunk: Chunk
    bulk: bytes
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    def __init__(self, seq: _Optional[int] = ..., ack: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., replies: _Optional[_Iterable[_Union[Reply, _Mapping]]] = ..., credits: _Optional[_Iterable[_Union[Credit, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[Cancel, _Mapping]]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., bulk: _Optional[bytes] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "session_id", "resume", "received", "host", "pid")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    version: int
    session_id: str
    resume: bool
    received: int
    host: str
    pid: int
    def __init__(self, version: _Optional[int] = ..., session_id: _Optional[str] = ..., resume: bool = ..., received: _Optional[int] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "incarnation", "resumed", "received", "max_in_flight", "max_payload", "resume_window_ms", "lane")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    RESUME_WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    resumed: bool
    received: int
    max_in_flight: int
    max_payload: int
    resume_window_ms: int
    lane: str
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ..., resumed: bool = ..., received: _Optional[int] = ..., max_in_flight: _Optional[int] = ..., max_payload: _Optional[int] = ..., resume_window_ms: _Optional[int] = ..., lane: _Optional[str] = ...) -> None: ...

class Parts(_message.Message):
    __slots__ = ("transfer", "sizes")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    transfer: int
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, transfer: _Optional[int] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("transfer", "part", "offset", "size")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    transfer: int
    part: int
    offset: int
    size: int
    def __init__(self, transfer: _Optional[int] = ..., part: _Optional[int] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("number", "event", "size", "transfer", "inode")
    class Event(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFERED: _ClassVar[Segment.Event]
        MAPPED: _ClassVar[Segment.Event]
        LENT: _ClassVar[Segment.Event]
        RETURNED: _ClassVar[Segment.Event]
        DROPPED: _ClassVar[Segment.Event]
    OFFERED: Segment.Event
    MAPPED: Segment.Event
    LENT: Segment.Event
    RETURNED: Segment.Event
    DROPPED: Segment.Event
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    number: int
    event: Segment.Event
    size: int
    transfer: int
    inode: int
    def __init__(self, number: _Optional[int] = ..., event: _Optional[_Union[Segment.Event, str]] = ..., size: _Optional[int] = ..., transfer: _Optional[int] = ..., inode: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("id", "actor_id", "actor", "method", "data", "parts", "timeout_us", "chain", "trace", "credit")
    class TraceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    id: int
    actor_id: str
    actor: str
    method: str
    data: bytes
    parts: Parts
    timeout_us: int
    chain: _containers.RepeatedScalarFieldContainer[str]
    trace: _containers.ScalarMap[str, str]
    credit: int
    def __init__(self, id: _Optional[int] = ..., actor_id: _Optional[str] = ..., actor: _Optional[str] = ..., method: _Optional[str] = ..., data: _Optional[bytes] = ..., parts: _Optional[_Union[Parts, _Mapping]] = ..., timeout_us: _Optional[int] = ..., chain: _Optional[_Iterable[str]] = ..., trace: _Optional[_Mapping[str, str]] = ..., credit: _Optional[int] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("id", "status", "data", "parts", "message", "may_have_run")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MAY_HAVE_RUN_FIELD_NUMBER: _ClassVar[int]
    id: int
    status: Status
    data: bytes
    parts: Parts
    message: str
    may_have_run: bool
    def __init__(self, id: _Optional[int] = ..., status: _Optional[_Union[Status, str]] = ..., data: _Optional[bytes] = ..., parts: _Optional[_Union[Parts, _Mapping]] = ..., message: _Optional[str] = ..., may_have_run: bool = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("id", "data", "parts")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    id: int
    data: bytes
    parts: Parts
    def __init__(self, id: _Optional[int] = ..., data: _Optional[bytes] = ..., parts: _Optional[_Union[Parts, _Mapping]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("id", "items")
    ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    id: int
    items: int
    def __init__(self, id: _Optional[int] = ..., items: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("actor", "method", "args_json", "kwargs_json", "timeout")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    KWARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    method: str
    args_json: str
    kwargs_json: str
    timeout: float
    def __init__(self, actor: _Optional[str] = ..., method: _Optional[str] = ..., args_json: _Optional[str] = ..., kwargs_json: _Optional[str] = ..., timeout: _Optional[float] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("status", "result_json", "error_type", "error_message", "error_traceback")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESULT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    status: Status
    result_json: str
    error_type: str
    error_message: str
    error_traceback: str
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., result_json: _Optional[str] = ..., error_type: _Optional[str] = ..., error_message: _Optional[str] = ..., error_traceback: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("actor",)
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    actor: str
    def __init__(self, actor: _Optional[str] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("incarnation", "actors")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    actors: _containers.RepeatedCompositeFieldContainer[ActorDescription]
    def __init__(self, incarnation: _Optional[str] = ..., actors: _Optional[_Iterable[_Union[ActorDescription, _Mapping]]] = ...) -> None: ...

class ActorDescription(_message.Message):
    __slots__ = ("name", "actor_id", "type", "doc", "methods")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    name: str
    actor_id: str
    type: str
    doc: str
    methods: _containers.RepeatedCompositeFieldContainer[MethodDescription]
    def __init__(self, name: _Optional[str] = ..., actor_id: _Optional[str] = ..., type: _Optional[str] = ..., doc: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[MethodDescription, _Mapping]]] = ...) -> None: ...

class MethodDescription(_message.Message):
    __slots__ = ("name", "signature", "doc", "kind", "group")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    name: str
    signature: str
    doc: str
    kind: str
    group: str
    def __init__(self, name: _Optional[str] = ..., signature: _Optional[str] = ..., doc: _Optional[str] = ..., kind: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...
