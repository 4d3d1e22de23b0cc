"""The form of a flowgraph file as JSON Schema, for editors that complete and check as one types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from semstream.runtime.block.block import Block
from semstream.runtime.block.settings import is_live, unit_of
from semstream.runtime.files.document import Document

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "flowgraph.schema.json"


def json_schema(classes: Mapping[str, type[Block]]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a flowgraph file.

    Parameters
    ----------
    classes
        Blocks whose settings are checked, by the name that a file calls them; others may have any settings.
    """
    schema = Document.model_json_schema(by_alias=True)
    schema = {"$schema": SCHEMA_ID, **schema, "title": "semstream flowgraph"}
    definitions = schema["$defs"]
    chain = {"type": "string", "pattern": "->", "description": "A -> B -> C"}
    schema["properties"]["edges"]["items"] = {"anyOf": [chain, {"$ref": "#/$defs/EdgeEntry"}]}
    address = {"type": "string", "pattern": ":\\d+$", "description": "HOST:PORT"}
    schema["properties"]["hosts"]["additionalProperties"] = {"anyOf": [address, {"$ref": "#/$defs/HostEntry"}]}
    block = definitions["BlockEntry"]
    block["properties"]["class"]["anyOf"] = [{"enum": list(classes)}, {"pattern": "^[\\w.]+:\\w+$"}]
    block["allOf"] = []
    for name, cls in classes.items():
        definitions[name] = _settings(cls, definitions)
        required = ["class", "settings"] if definitions[name].get("required") else ["class"]
        then = {"properties": {"settings": {"$ref": f"#/$defs/{name}"}}, "required": required}
        block["allOf"].append({"if": {"properties": {"class": {"const": name}}, "required": ["class"]}, "then": then})
    return schema


def as_text(classes: Mapping[str, type[Block]]) -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(classes), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _settings(cls: type[Block], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = cls.Settings.model_json_schema(ref_template=f"#/$defs/{cls.__name__}.{{model}}")
    for name, inner in schema.pop("$defs", {}).items():
        definitions[f"{cls.__name__}.{name}"] = inner
    schema["description"] = (cls.__doc__ or "").strip().partition("\n")[0]
    schema["title"] = f"settings of {cls.__name__}"
    for name, field in cls.Settings.model_fields.items():
        entry = schema["properties"][name]
        entry.pop("title", None)
        entry.pop("unit", None)
        entry.pop("live", None)
        notes = [unit_of(field), "live" if is_live(field) else ""]
        about = ", ".join(note for note in notes if note)
        entry["description"] = f"{field.description or ''}{f' [{about}]' if about else ''}"
        if not isinstance(field.default, (str, int, float, bool, list, type(None))) or field.default in _NOT_JSON:
            entry.pop("default", None)
        _allow_infinity(entry)
    return schema


def _allow_infinity(entry: dict[str, Any]) -> None:
    """A number may be written ``inf`` too, which is text by YAML's rules."""
    words = {"enum": ["inf"] if {"minimum", "exclusiveMinimum"} & set(entry) else ["inf", "-inf"]}
    if entry.get("type") == "number" and "maximum" not in entry and "exclusiveMaximum" not in entry:
        limits = {key: entry.pop(key) for key in ("type", "minimum", "exclusiveMinimum") if key in entry}
        entry["anyOf"] = [limits, words]
    elif entry.get("type") == "array" and entry.get("items", {}).get("type") == "number":
        entry["items"] = {"anyOf": [entry["items"], words]}


_NOT_JSON = (float("inf"), float("-inf"), "Infinity", "-Infinity")
