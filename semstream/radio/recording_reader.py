"""Reading SigMF recordings; see `recording`."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semstream.radio.errors import RadioError
from semstream.radio.messages import Samples
from semstream.radio.sigmf_files import DATA, META, SAMPLE, UNFINISHED, base_of, package, with_suffix
from semstream.radio.sigmf_schema import check


@dataclass(frozen=True, slots=True)
class Recorded:
    """One frame of a recording; `number` is None where the recording does not say."""

    number: int | None
    samples: Samples
    gain: Samples
    noise_variance: np.ndarray
    snr_db: float | None = None
    header: bytes = b""


class SigmfReader:
    """Reads a recording, semstream's or another's.

    Parameters
    ----------
    path
        With or without one of SigMF's suffixes.
    verify
        Compare the checksum in the metadata, for which all samples are read.

    Raises
    ------
    RadioError
        If a file is missing, the metadata are not valid, are of another type of samples, or belong to other samples.

    Attributes
    ----------
    faults : Counter of str
        ``annotation``: those that lie outside the samples, or are not what semstream writes.
    samples : ndarray (N,)
        All samples, mapped from the disk.
    """

    def __init__(self, path: str, verify: bool = True) -> None:
        self.base = base_of(path)
        self.faults: Counter[str] = Counter()
        self.metadata, self.samples = _load(self.base, 1, verify)
        beside = self.base.with_name(self.base.name + "-channel")
        self._channel: np.ndarray | None = None
        if with_suffix(beside, META).exists():
            described, values = _load(beside, 2, verify)
            self._channel = values.reshape(-1, 2)
            if described.get("global", {}).get(UNFINISHED):  # what was under way when it was cut off is in one alone
                both = min(len(self._channel), self.samples.size)
                self._channel, self.samples = self._channel[:both], self.samples[:both]
            if len(self._channel) != self.samples.size:
                raise RadioError(
                    f"recording {beside}: {len(self._channel)} samples of the channel, and {self.samples.size} received"
                )

    def frames(self) -> Iterator[Recorded]:
        """Frames by the annotations that semstream has written, in their order."""
        for annotation in self.metadata.get("annotations", []):
            if "semstream:frame" not in annotation:
                continue
            try:
                yield self._frame(annotation)
            except (KeyError, TypeError, ValueError, OverflowError, binascii.Error):
                self.faults["annotation"] += 1

    def pieces(self, length: int) -> Iterator[Recorded]:
        """All samples in frames of so many; what is left at the end is not given."""
        for start in range(0, self.samples.size - length + 1, length):
            ones = np.ones(length, np.complex64)
            yield Recorded(None, np.array(self.samples[start : start + length]), ones, np.zeros(length, np.float32))

    @property
    def has_frames(self) -> bool:
        """Whether semstream has written it."""
        return any("semstream:frame" in annotation for annotation in self.metadata.get("annotations", []))

    def _frame(self, annotation: Mapping[str, Any]) -> Recorded:
        number, start = annotation["semstream:frame"], annotation["core:sample_start"]
        count = annotation["core:sample_count"]
        if not (type(number) is type(start) is type(count) is int) or number < 0:
            raise ValueError("no whole numbers")
        if start < 0 or count < 1 or start + count > self.samples.size:
            raise ValueError("outside the samples")
        if "semstream:gain" in annotation:
            real, imaginary = annotation["semstream:gain"]
            gain = np.full(count, complex(real, imaginary), np.complex64)
            variance = np.full(count, float(annotation["semstream:noise_variance"]), np.float32)
        elif self._channel is not None:
            known = self._channel[start : start + count]
            gain, variance = np.array(known[:, 0]), np.array(known[:, 1].real)
        else:
            raise ValueError("no gain, and no recording of the channel")
        if not np.isfinite(gain).all() or not (variance >= 0).all():
            raise ValueError("no channel")
        snr_db = annotation.get("semstream:snr_db")
        return Recorded(
            number,
            np.array(self.samples[start : start + count]),
            gain,
            variance,
            float(snr_db) if snr_db is not None else None,
            base64.b64decode(annotation.get("semstream:header", ""), validate=True),
        )


def _load(base: Path, channels: int, verify: bool) -> tuple[dict[str, Any], np.ndarray]:
    sigmf = package()
    meta, data = with_suffix(base, META), with_suffix(base, DATA)
    for path in (meta, data):
        if not path.is_file():
            raise RadioError(f"recording {base}: there is no {path.name}; SigMF has {META} and {DATA} side by side")
    try:
        described = sigmf.SigMFFile(metadata=meta.read_text(encoding="utf-8"), skip_checksum=True)
        check(described._metadata)
        facts = described.get_global_info()
        found = (facts.get("core:datatype"), facts.get("core:num_channels", 1))
    except Exception as error:  # the package raises its own, json's and plain ones on bad metadata
        reason = str(error).strip().split("\n")[0]
        raise RadioError(f"recording {meta}: its metadata are not valid SigMF ({reason[:200]})") from None
    if found != ("cf32_le", channels):
        raise RadioError(
            f"recording {meta}: expected samples of type cf32_le in {channels} channel(s), got {found[0]} in {found[1]}"
            "; convert it, for example with GNU Radio"
        )
    size = data.stat().st_size
    if facts.get(UNFINISHED):
        size -= size % (SAMPLE.itemsize * channels)
    if size % (SAMPLE.itemsize * channels):
        raise RadioError(
            f"recording {data}: {size} bytes are no multiple of {SAMPLE.itemsize * channels}; it is cut short"
        )
    expected = facts.get("core:sha512")
    if verify and expected is not None:
        with data.open("rb") as file:
            if hashlib.file_digest(file, "sha512").hexdigest() != expected:
                raise RadioError(
                    f"recording {data}: its checksum is not the one in {meta.name}: these are other samples, or were "
                    "changed; to read it all the same, set verify=False"
                )
    samples = np.memmap(data, SAMPLE, "r", shape=(size // SAMPLE.itemsize,)) if size else np.zeros(0, SAMPLE)
    return described._metadata, samples
