"""Errors of the runtime. Each message says where, what was expected, what came instead, and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class SemstreamError(Exception):
    """Base of every error that semstream's runtime raises on purpose."""


class PortError(SemstreamError):
    """A port is unknown, already taken, or carries something other than what is given to it."""


class SettingsError(SemstreamError):
    """A block's setting is unknown, out of its range, or not live."""


class WireError(SemstreamError):
    """A message from outside does not have the wire form.

    Parameters
    ----------
    reason
        Short code that counters use as a key, e.g. ``"dtype"`` or ``"byte_count"``.
    detail
        One sentence for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class BlockError(SemstreamError):
    """A block cannot go on for a reason that its user can mend: a file, a setting, a budget.

    Raised by a block, it ends the run with its message alone, which names block and setting; any other exception shows
    its traceback.
    """


class SkipFrame(SemstreamError):  # noqa: N818 - a signal, not an error
    """Raised by ``process()`` to drop the frame at hand; it is counted under `reason` and the run goes on."""

    def __init__(self, reason: str = "skipped") -> None:
        super().__init__(reason)
        self.reason = reason


class FinishedRun(Protocol):
    """What a failed run still has to give: the runtime's `Run`."""

    @property
    def records(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """What each block has published."""

    def counters(self) -> dict[str, Any]:
        """Counters of blocks and edges."""

    def summary(self) -> str:
        """A text table of the counters."""


class FlowgraphError(SemstreamError):
    """A flowgraph is wired wrongly or its run has failed.

    Attributes
    ----------
    block : str or None
        Name of the block that failed.
    traceback_text : str
        Traceback from the thread or process of that block, empty where there is none (a killed process).
    run : Run or None
        The finished run, so that a report can still be printed from what had arrived.
    """

    def __init__(
        self, message: str, block: str | None = None, traceback_text: str = "", run: FinishedRun | None = None
    ) -> None:
        super().__init__(f"{message}\n\n{traceback_text.rstrip()}" if traceback_text else message)
        self.summary = message
        self.block = block
        self.traceback_text = traceback_text
        self.run = run


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong in a file: its line (0: none in particular) and what is wrong."""

    line: int
    message: str


class FlowgraphFileError(FlowgraphError):
    """A flowgraph file cannot be read.

    Attributes
    ----------
    path : str
        The file.
    findings : tuple of Finding
        All that is wrong with it, by line.
    """

    def __init__(self, path: str, findings: Sequence[Finding]) -> None:
        self.path, self.findings = path, tuple(findings)
        super().__init__(
            "\n".join(f"{path}:{f.line}: {f.message}" if f.line else f"{path}: {f.message}" for f in findings)
        )
