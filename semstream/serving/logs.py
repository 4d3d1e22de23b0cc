"""Logs of a service on standard error: lines for people, or a JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]
_PREFIX = "semstream."
SERVICE = "semstream.service"
"""Logger of the service itself; a block's is semstream.FLOWGRAPH.BLOCK."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (UTC, ISO 8601), level, logger, block and flowgraph where it is of a block's,
    message, and exception with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        value = {"time": at.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name}
        if record.name.startswith(_PREFIX) and record.name != SERVICE:
            flowgraph, _, block = record.name.removeprefix(_PREFIX).partition(".")
            value |= {"flowgraph": flowgraph, "block": block} if block else {"flowgraph": flowgraph}
        value["message"] = record.getMessage()
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        for name, item in getattr(record, "facts", {}).items():
            value[name] = item
        return json.dumps(value, ensure_ascii=False, default=str)


def set_up(form: Form) -> None:
    """Send all logs of this process, from INFO on for semstream's own, to standard error in that form."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("semstream").setLevel(logging.INFO)
    logging.captureWarnings(True)
