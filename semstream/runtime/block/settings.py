"""Settings of a block: a frozen pydantic model whose fields carry units, and of which some may change while it runs."""

from __future__ import annotations

import json
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from semstream.runtime.errors import SettingsError


class Settings(BaseModel):
    """Base of every block's ``Settings``. Unknown names are refused, fields are read-only."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, ser_json_inf_nan="strings", arbitrary_types_allowed=False
    )


def setting(default: Any = ..., *, unit: str = "", description: str = "", **limits: Any) -> Any:
    """Declare a setting that is fixed for a run.

    Parameters
    ----------
    default
        Value if none is given; `...` makes the setting required.
    unit, description
        For listings and error messages.
    **limits
        pydantic's limits: ge, gt, le, lt, min_length, max_length, pattern, multiple_of.
    """
    return Field(default, description=description, json_schema_extra={"unit": unit, "live": False}, **limits)


def live(default: Any = ..., *, unit: str = "", description: str = "", **limits: Any) -> Any:
    """Declare a setting that may change between frames (`Run.set`). Parameters as for `setting`."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "live": True}, **limits)


def is_live(field: FieldInfo) -> bool:
    """Whether the field was declared with `live`."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("live"))


def unit_of(field: FieldInfo) -> str:
    """Unit of the field, empty if it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit") or "") if isinstance(extra, dict) else ""


def validated(cls: type[Settings], values: dict[str, Any], block: str) -> Settings:
    """Make settings, or say in words which value is wrong.

    Raises
    ------
    SettingsError
        Naming the block, the setting, the allowed range and the value.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"block {block!r}: {_words(cls, error)}") from None


def changed(current: Settings, changes: dict[str, Any], block: str) -> Settings:
    """Settings with live `changes` applied.

    Raises
    ------
    SettingsError
        If one is unknown, not live, or out of range.
    """
    fields = type(current).model_fields
    for name in changes:
        if name in fields and not is_live(fields[name]):
            can = [n for n, f in fields.items() if is_live(f)]
            raise SettingsError(
                f"block {block!r}, setting {name!r} is fixed for a run; "
                f"live settings here: {', '.join(can) if can else 'none'}. Set it when the block is made."
            )
    return validated(type(current), {**{n: getattr(current, n) for n in fields}, **changes}, block)


def from_plain(cls: type[Settings], values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings that come from a file, which knows types: text is no number there, and true is not 1.

    Returns
    -------
    dict, dict
        The values, ``inf`` and ``nan`` as floats where text is not taken; and what is wrong, in words, by setting.
    """
    wrong: dict[str, str] = {}
    for _ in range(2):
        try:
            cls.model_validate_json(json.dumps(values), strict=True)
            return values, {}
        except ValidationError as error:
            wrong = problems(cls, error)
            values = {name: _infinite(value) if name in wrong else value for name, value in values.items()}
    return values, wrong


def _infinite(value: Any) -> Any:
    if isinstance(value, list):
        return [_infinite(item) for item in value]
    known = isinstance(value, str) and value.lower() in ("inf", "+inf", "-inf", "nan", "+nan", "-nan")
    return float(value) if known else value


def problems(cls: type[Settings], error: ValidationError) -> dict[str, str]:
    """What is wrong with each setting, in words; under "" what is wrong with all of them together."""
    lines: dict[str, str] = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        field = cls.model_fields.get(name)
        if name in lines:
            continue  # a union fails once for each of its members
        if item["type"] == "extra_forbidden" or (field is None and name):
            lines[name] = f"no setting {name!r}; there are: {', '.join(cls.model_fields) or 'none'}"
        elif field is None:
            lines[name] = str(item["msg"])
        elif item["type"] == "missing":
            lines[name] = f"setting {name!r} is required: {field.description or ''}".rstrip(": ")
        else:
            unit = f" {unit_of(field)}" if unit_of(field) else ""
            got = item["input"]
            lines[name] = f"setting {name!r}: expected {expected(field)}{unit}, got {got!r:.200} ({item['msg']})"
    return lines


def _words(cls: type[Settings], error: ValidationError) -> str:
    return "; ".join(problems(cls, error).values())


def expected(field: FieldInfo) -> str:
    """Type and allowed range of a setting: ``float >= 0 and <= 12``."""
    return " ".join([kind_of(field), range_of(field)]).strip()


def range_of(field: FieldInfo) -> str:
    """Allowed range of a setting, ``>= 0 and <= 12``; empty if its type says it all."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
    signs |= {"multiple_of": "a multiple of", "pattern": "matching"}
    limits = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return " and ".join(limits)


def kind_of(field: FieldInfo) -> str:
    """Type of a setting in words: ``float``, ``'symbol' | 'frame' | int``."""
    return _kind(field.annotation)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_kind, get_args(annotation)))
    if annotation is type(None):
        return "None"
    name = getattr(annotation, "__name__", None)
    return str(name) if name and not get_args(annotation) else str(annotation).replace("typing.", "")
