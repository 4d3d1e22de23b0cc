"""The form of a flowgraph file: which keys it has and what they hold; `json_schema` publishes the same."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from semstream.runtime.frames.wire import MAX_CREDIT
from semstream.runtime.graph.guard import INSTEAD_OF_RESTARTS, RESTART_LIMIT, RING_FRAMES

Policy = Literal["block", "drop_oldest", "latest"]
Depth = Annotated[int, Field(ge=1, description="frames that wait at the sender besides, for drop_oldest")]
Credit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_CREDIT)] | Literal["auto"],
    Field(description="frames that may be under way to one receiver; auto: as many as the way to another host needs"),
]
Reconnect = Annotated[
    float, Field(ge=0, description="seconds that the other end may be out of reach; 0: the run fails at once")
]
Curve = Annotated[
    str | None,
    Field(description="file with CURVE keys (public, secret, server or clients), beside this one or by its full path"),
]
Restart = Literal["never", "on_failure", "always"]
Durable = Annotated[
    bool | None,
    Field(description="whether its frames survive the death of a block or process, if not as the graph says"),
]
PORT = "a block, or BLOCK.PORT where it has several"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class BlockEntry(_Entry):
    """One block."""

    class_: str = Field(
        alias="class", description="a block of semstream, or MODULE:CLASS beside this file or installed"
    )
    settings: dict[str, Any] = Field({}, description="as listed by: semstream blocks CLASS")
    replicas: int = Field(1, ge=1, description="how many run side by side and share the frames")
    host: str | None = Field(None, description="where it lives: one of hosts")
    process: str | None = Field(
        None, description="engines processes and ray: blocks with the same name here share a process"
    )
    restart: Restart | None = Field(None, description="what is done when it fails, if not as the graph says")
    resources: dict[str, float] = Field({}, description="engine ray: what it takes of its host, e.g. {CPU: 1, GPU: 1}")
    group: str = Field("", description="engine ray: blocks with the same name here run on one host")


class EdgeEntry(_Entry):
    """One edge, or a chain of them."""

    connect: str = Field(description=f"A -> B -> C; each {PORT}")
    policy: Policy = Field("block", description="lossless, drop what is too old, or keep the newest only")
    credit: Credit = 2
    depth: Depth = 1
    durable: Durable = None


class ListenEntry(_Entry):
    """An output port that other flowgraphs dial."""

    port: str = Field(description=f"output: {PORT}")
    endpoint: str = Field(description="tcp://HOST:PORT or ipc://PATH; other hosts than loopback need curve")
    policy: Policy = "block"
    depth: Depth = 1
    curve: Curve = None
    reconnect: Reconnect = 0.0
    durable: Durable = None


class DialEntry(_Entry):
    """An input port that takes what another flowgraph listens with."""

    port: str = Field(description=f"input: {PORT}")
    endpoint: str = Field(description="tcp://HOST:PORT or ipc://PATH of the other flowgraph")
    credit: Credit = 2
    curve: Curve = None
    connect_timeout: float = Field(30.0, gt=0, description="seconds to wait for the other flowgraph")
    reconnect: Reconnect = 0.0
    durable: Durable = None


class HostEntry(_Entry):
    """A machine that runs a part of the graph: semstream run FILE --only HOST."""

    address: str = Field(description="HOST:PORT that the others dial; the edges that leave it have ports from there on")
    listen: str = Field("", description="HOST:PORT that it binds, where the others see it at another address")
    patience: float = Field(30.0, gt=0, description="seconds that the others wait for it, at the start and after a cut")


def _as_edge(value: Any) -> Any:
    return {"connect": value} if isinstance(value, str) else value


def _as_host(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


class Header(_Entry):
    """What a flowgraph file says about the whole graph."""

    semstream: Literal[1] = Field(1, description="version of this form")
    name: str = Field("flowgraph", min_length=1, description="name of the graph, in logs and reports")
    seed: int = Field(0, description="seed of every random number in it")
    engine: Literal["threads", "processes", "ray"] = Field("threads", description="engine unless another is asked for")
    keys: str = Field(
        "", description="folder of CURVE certificates that semstream keygen made, beside this file or its full path"
    )
    durable: bool | Literal["memory", "disk"] = Field(
        False, description="whether edges of policy block lose no frame when a block dies; disk: sources keep files"
    )
    restart: Restart | None = Field(
        None, description="what is done when a block fails; else on_failure where an edge is durable, never elsewhere"
    )
    state_folder: str = Field(
        "", description="where a durable run is kept when this program dies too, beside this file or its full path"
    )
    ring: int = Field(RING_FRAMES, ge=1, description="frames that a durable edge keeps")
    restart_limit: int = Field(
        RESTART_LIMIT,
        ge=1,
        description="on_failure: most deaths of a block in a row with nothing done; engine ray: most deaths in all",
    )


class Document(Header):
    """A flowgraph of semstream: blocks, and the edges that frames take between them."""

    hosts: dict[str, Annotated[HostEntry, BeforeValidator(_as_host)]] = Field(
        {}, description="machines by their names; without --only all blocks run on this one"
    )
    blocks: dict[str, BlockEntry] = Field(min_length=1, description="blocks by their names")
    edges: list[Annotated[EdgeEntry, BeforeValidator(_as_edge)]] = Field([], description="edges, singly or in chains")
    listen: list[ListenEntry] = Field([], description="outputs that other flowgraphs dial")
    dial: list[DialEntry] = Field([], description="inputs from other flowgraphs")


E = TypeVar("E", bound=_Entry)


def check(model: type[E], value: Any, known: Iterable[str] = ()) -> tuple[E | None, list[tuple[str, str]]]:
    """One entry of the file.

    Parameters
    ----------
    model
        What it should be.
    value
        What stands there.
    known
        Keys to name when one is unknown, if not those of the model.

    Returns
    -------
    model or None, list of (key, words)
        The entry without the keys that are wrong, None if it is none without them; and what is wrong, by key.
    """
    if not isinstance(value, dict):
        return None, [("", f"expected keys and values, got {shown(value)}")]
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        keys = list(known) or [field.alias or name for name, field in model.model_fields.items()]
        found = {str(item["loc"][0]): _words(item, keys) for item in error.errors()}
    try:
        return model.model_validate({key: v for key, v in value.items() if key not in found}), list(found.items())
    except ValidationError:
        return None, list(found.items())


def _words(item: Any, known: list[str]) -> str:
    key = item["loc"][0]
    if item["type"] == "extra_forbidden" and key == "restarts" and "restart" in known:
        return f"unknown key {key!r}; {INSTEAD_OF_RESTARTS}"
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {choice(str(key), known)}"
    if item["type"] == "missing":
        return f"key {key!r} is missing"
    return f"key {key!r}: {_expected(item)}, got {shown(item['input'])}"


def choice(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` where one is close, else what there is."""
    known = list(known)
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"


def shown(value: Any) -> str:
    """A value as it may stand in a message: short, mappings and lists by their kind."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    return f"a list of {len(value)}" if isinstance(value, list) else f"{value!r:.60}"


def _expected(item: Any) -> str:
    kinds = {"int_type": "a whole number", "float_type": "a number", "string_type": "text"}
    kinds |= {"dict_type": "keys and values", "list_type": "a list (lines that begin with -)"}
    limits = item.get("ctx", {})
    if item["type"] in kinds:
        return f"expected {kinds[item['type']]}"
    if item["type"] == "literal_error":
        return f"expected {limits['expected']}"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"expected a number {sign} {limits[name]}" for name, sign in signs.items() if name in limits]
    return bounds[0] if bounds else str(item["msg"]).lower()
