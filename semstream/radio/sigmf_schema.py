"""SigMF metadata against SigMF's own schema, prepared once: `sigmf` checks the schema itself each time, for 10 ms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any


def check(metadata: Mapping[str, Any]) -> None:
    """Check metadata as `sigmf.SigMFFile.validate` does.

    Parameters
    ----------
    metadata
        Content of a ``.sigmf-meta`` file.

    Raises
    ------
    ValueError
        If they do not fit the schema, or captures or annotations are not in the order of their samples.
    """
    from jsonschema.exceptions import best_match

    worst = best_match(_validator().iter_errors(metadata))
    if worst is not None:
        raise ValueError(f"{worst.json_path}: {worst.message}")
    for key in ("captures", "annotations"):
        starts = [item["core:sample_start"] for item in metadata[key]]
        if any(second < first for first, second in pairwise(starts)):
            raise ValueError(f"{key} are not in the order of core:sample_start")


@lru_cache(maxsize=1)
def _validator() -> Any:
    from jsonschema.validators import validator_for
    from sigmf.schema import get_schema

    schema = get_schema()
    return validator_for(schema)(schema)
