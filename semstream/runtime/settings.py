"""Settings of a block: a frozen pydantic model whose fields carry units, and of which some may change while it runs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from .errors import SettingsError


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


def _words(cls: type[Settings], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        field = cls.model_fields.get(name)
        if item["type"] == "extra_forbidden" or (field is None and name):
            lines.append(f"no setting {name!r}; there are: {', '.join(cls.model_fields) or 'none'}")
        elif field is None:
            lines.append(str(item["msg"]))
        elif item["type"] == "missing":
            lines.append(f"setting {name!r} is required: {field.description or ''}".rstrip(": "))
        else:
            unit = f" {unit_of(field)}" if unit_of(field) else ""
            lines.append(f"setting {name!r}: expected {_expected(field)}{unit}, got {item['input']!r} ({item['msg']})")
    return "; ".join(lines)


def _expected(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
    limits = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    kind = getattr(field.annotation, "__name__", None)
    if kind is None or kind in ("Literal", "Optional", "Union", "UnionType"):
        kind = str(field.annotation).replace("typing.", "")
    return " ".join([kind, " and ".join(limits)]).strip()
