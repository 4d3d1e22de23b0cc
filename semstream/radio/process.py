"""A GNU Radio of one's own: the shipped channel, run by the Python that has GNU Radio, watched and ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from semstream.radio.bursts import Mode
from semstream.radio.errors import RadioError

PROGRAM = Path(__file__).parent / "companion" / "channel.py"
SYSTEM_PYTHON = "/usr/bin/python3"
HOW_TO_INSTALL = "install it (Debian and Ubuntu: apt-get install gnuradio), or name the Python that has it"
_END_S = 2.0
_TAIL_BYTES = 2000


class GnuRadio:
    """The process of a GNU Radio channel.

    Parameters
    ----------
    receive
        Endpoint that it connects to, where its samples come from.
    mode
        Form of its messages.
    python
        Interpreter that has GNU Radio; empty: the system's.
    options
        Further options of `companion/channel.py`.

    Raises
    ------
    RadioError
        If it cannot be started; the message says why.

    Attributes
    ----------
    endpoint : str
        Where it sends its samples from, after `wait_ready`.
    settle : int
        Samples that still go by the old value after `set`.
    """

    def __init__(self, receive: str, mode: Mode, python: str = "", options: Sequence[str] = ()) -> None:
        self.python = python or SYSTEM_PYTHON
        self.endpoint = ""
        self.settle = 0
        if shutil.which(self.python) is None:
            raise RadioError(f"GNU Radio: there is no {self.python}; {HOW_TO_INSTALL}")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - what it logs, for the message when it dies; closed in `end`
        self._reports, write = os.pipe()
        self._unread = b""
        command = [self.python, str(PROGRAM), "--receive", receive, "--mode", mode, "--report", str(write), *options]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, pass_fds=(write,),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(self._reports)
            raise RadioError(f"GNU Radio: {self.python} cannot be started ({error.strerror or error})") from None
        finally:
            os.close(write)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def wait_ready(self, timeout: float, go_on: Callable[[], bool] = lambda: True) -> None:
        """Wait until it runs.

        Parameters
        ----------
        timeout
            In seconds.
        go_on
            Asked again and again; False ends the wait.

        Raises
        ------
        RadioError
            If it does not start, dies, or is not ready in time.
        """
        report = self._report(timeout, go_on)
        if "ready" not in report:
            raise RadioError("GNU Radio: stopped before it was ready")
        self.endpoint, self.settle = str(report["ready"]), int(report["settle"])

    def set(self, **values: float) -> None:
        """Change ``noise_voltage`` or ``frequency_offset`` while it runs.

        Raises
        ------
        RadioError
            If it is dead or does not answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(values).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise RadioError(self.epitaph() or "GNU Radio no longer listens") from None
        self._report(5.0, lambda: True)

    def epitaph(self) -> str:
        """How it died; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"GNU Radio (process {self._process.pid}) {how}{self._last_words()}"

    def end(self) -> None:
        """End it, and wait until it is gone."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()  # at which it ends by itself
        for stop in (process.terminate, process.kill):
            try:
                process.wait(_END_S)
                break
            except subprocess.TimeoutExpired:
                stop()
        process.wait()
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1
            self._said.close()

    def _report(self, timeout: float, go_on: Callable[[], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if time.monotonic() > deadline:
                raise RadioError(f"GNU Radio has not answered within {timeout:g} s{self._last_words()}")
            if not go_on():
                return {}
            if not select.select([self._reports], [], [], 0.05)[0]:
                continue
            part = os.read(self._reports, 65536)
            if not part:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S)
                raise RadioError(self.epitaph() or "GNU Radio has closed its reports")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        report: dict[str, Any] = json.loads(line)
        if "error" in report:
            missing = f"; {HOW_TO_INSTALL}" if "no GNU Radio" in report["error"] else ""
            raise RadioError(f"GNU Radio: {report['error']}{missing}")
        return report

    def _last_words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _TAIL_BYTES))
        lines = self._said.read().decode(errors="replace").split("\n")
        words = [line for line in lines if line.strip() and ":info:" not in line]
        return f"; it said: {words[-1].strip()[:300]}" if words else ""


def noise_voltage(snr_db: float) -> float:
    """The voltage of noise of variance 10^(−SNR/10), as GNU Radio takes it; 0 for ``inf`` dB."""
    return 0.0 if math.isinf(snr_db) else 10.0 ** (-snr_db / 20.0)


def unit_energy(taps: Sequence[str]) -> list[complex]:
    """Taps of an impulse response, made unit energy.

    Raises
    ------
    RadioError
        If one is no complex number, or all are 0.
    """
    try:
        values = [complex(tap) for tap in taps]
    except ValueError:
        values = []
    energy = sum(abs(value) ** 2 for value in values)
    if not 0 < energy < math.inf:
        raise RadioError(f"taps: expected complex numbers such as 1 and 0.3+0.2j, not all 0, got {', '.join(taps)!r}")
    return [value / energy**0.5 for value in values]


def channel_options(
    snr_db: float,
    *,
    fading: Literal["none", "rayleigh", "rician"] = "none",
    doppler: float = 1e-4,
    rician_k: float = 3.0,
    taps: Sequence[str] = ("1",),
    frequency_offset: float = 0.0,
    seed: int = 0,
    longest: int = 65_536,
) -> list[str]:
    """Options of `companion/channel.py`; see its help.

    Raises
    ------
    RadioError
        If the taps are none.
    """
    values = {
        "noise-voltage": noise_voltage(snr_db),
        "fading": fading,
        "doppler": doppler,
        "rician-k": rician_k,
        "taps": ",".join(str(tap) for tap in unit_energy(taps)),
        "frequency-offset": frequency_offset,
        "seed": seed,
        "longest": longest,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def found(python: str = "") -> str:
    """Why no GNU Radio can be used here; empty if one can. Starts the interpreter, which takes a moment."""
    program = python or SYSTEM_PYTHON
    if shutil.which(program) is None:
        return f"there is no {program}"
    try:
        result = subprocess.run(
            [program, "-c", "from gnuradio import channels, gr, pdu, zeromq; print(gr.version())"],
            capture_output=True, text=True, timeout=60, check=False, cwd=tempfile.gettempdir(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} cannot be used ({error})"
    lines = result.stderr.strip().splitlines() or [""]
    return "" if result.returncode == 0 else f"no GNU Radio under {program} ({lines[-1]}); {HOW_TO_INSTALL}"
