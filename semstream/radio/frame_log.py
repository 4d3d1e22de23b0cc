"""What is said of a recording's frames, in a file that grows with them and can be cut back: lines of JSON.

The first line names the run whose file it is, then each frame has one. SigMF's own metadata are one JSON text, which
can only be written as a whole; this is how a writer that was started again knows what the one before it had to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from semstream.radio.errors import RadioError
from semstream.radio.sigmf_files import Annotation


class FrameLog:
    """The file beside a recording that goes on.

    Parameters
    ----------
    path
        Of the file.
    run
        Name of the run.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self._run = run
        self._file: BinaryIO | None = None

    @property
    def size(self) -> int:
        """Bytes that are in it."""
        assert self._file is not None
        return self._file.tell()

    @property
    def is_own(self) -> bool:
        """Whether there is one that an earlier life of the same run has begun."""
        try:
            with self.path.open("rb") as file:
                return bool(json.loads(file.readline()) == {"run": self._run})
        except (OSError, ValueError):
            return False

    def begin(self, annotations: Iterable[Annotation] = ()) -> None:
        """Begin with these, in place of what there is.

        Raises
        ------
        RadioError
            If it cannot be written.
        """
        part = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = part.open("wb")
            self._file.write(_line({"run": self._run}) + b"".join(map(_line, annotations)))
            self._file.flush()
            part.replace(self.path)  # so that whenever the process dies there is the whole of it or nothing
        except OSError as error:
            raise self._fault(error) from None

    def go_on(self, size: int) -> list[Annotation]:
        """Take up what another life has begun, without what it had written beyond `size` bytes; returns that.

        Raises
        ------
        RadioError
            If it is not there, shorter, or damaged.
        """
        try:
            self._file = self.path.open("r+b")
            told = self._file.read(size)
            lines = [json.loads(line) for line in told.splitlines()]
            if len(told) < size or not lines or lines[0] != {"run": self._run}:
                raise ValueError("it is cut short, or of another run")
            self._file.truncate(size)
            self._file.seek(size)
            return [(start, length, facts) for start, length, facts in lines[1:]]
        except OSError as error:
            raise self._fault(error) from None
        except (ValueError, TypeError) as error:
            raise RadioError(f"recording: {self.path} cannot be read ({error})") from None

    def add(self, annotation: Annotation) -> None:
        """Append what is said of one frame; it is in the file when this returns.

        Raises
        ------
        RadioError
            If it cannot be written.
        """
        assert self._file is not None
        try:
            self._file.write(_line(annotation))
            self._file.flush()
        except OSError as error:
            raise self._fault(error) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Remove the file, if there is one.

        Raises
        ------
        RadioError
            If that cannot be.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._fault(error) from None

    def _fault(self, error: OSError) -> RadioError:
        return RadioError(f"recording: {self.path} cannot be written ({error.strerror or error})")


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
