"""A GNU Radio as a channel: one of our own, or one that runs already, with bursts there and back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from semstream.radio.bursts import Burst, Layout, Mode
from semstream.radio.errors import RadioError
from semstream.radio.link import Exchange, GoOn, Sockets
from semstream.radio.messages import Samples
from semstream.radio.process import GnuRadio, noise_voltage

START_S = 30.0
_LOG = logging.getLogger("semstream.radio")
GIVE_UP = 3
"""Bursts in a row without an answer after which a GNU Radio that is not ours counts as gone."""


class RadioChannel:
    """Bursts through a GNU Radio and back.

    Parameters
    ----------
    mode, layout
        Form of the messages, and how bursts lie in the stream.
    send, receive
        Where a running GNU Radio takes and gives samples: our socket binds `send` and connects to `receive`. Both
        empty: one of our own is started, and ended by `close`.
    python, options
        Of our own: its interpreter, and options of `companion/channel.py` (`process.channel_options`).
    snr_db
        SNR that `options` say.
    timeout
        Longest wait for a burst, in seconds.
    restarts
        How often one of our own that has died is started again. The burst that it had is lost, no other.
    go_on
        Asked while it waits; False gives up.
    allow_remote
        Whether `send` may be an endpoint that other hosts reach.

    Raises
    ------
    RadioError
        If an endpoint cannot be used or GNU Radio does not start.

    Attributes
    ----------
    restarts : int
        How often GNU Radio was started again so far.
    """

    def __init__(
        self, mode: Mode, layout: Layout, *, send: str = "", receive: str = "", python: str = "",
        options: Sequence[str] = (), snr_db: float = 0.0, timeout: float = 3.0, go_on: GoOn = lambda: True,
        allow_remote: bool = False, restarts: int = 0,
    ) -> None:  # fmt: skip
        if bool(send) != bool(receive):
            raise RadioError(f"send {send!r} and receive {receive!r} go together: give both endpoints, or none")
        self._timeout = timeout
        self._go_on = go_on
        self._silent = 0
        self._where = f"takes samples at {send} and gives them at {receive}"
        self._mode, self._layout, self._python, self._options = mode, layout, python, options
        self._remote, self._restarts_left, self._first_snr_db = allow_remote, restarts, snr_db
        self._earlier: Counter[str] = Counter()
        self.restarts = 0
        self._open(send, receive)

    def _open(self, send: str = "", receive: str = "") -> None:
        """Open the sockets, to a GNU Radio of our own if there are no endpoints of another."""
        self._radio: GnuRadio | None = None
        self._sockets = Sockets(self._remote)
        self._exchange = Exchange(self._sockets, self._mode, self._layout)
        self._snr_db = self._first_snr_db
        try:
            endpoint = self._sockets.open_push(send or "tcp://127.0.0.1:*")
            if not send:
                self._radio = GnuRadio(endpoint, self._mode, self._python, self._options)
                self._radio.wait_ready(START_S, self._go_on)
                receive = self._radio.endpoint
            self._sockets.open_pull(receive)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """Number of our own GNU Radio's process."""
        return self._radio.pid if self._radio is not None else None

    @property
    def faults(self) -> Counter[str]:
        """What was wrong with messages and tags so far, by kind."""
        return self._earlier + self._exchange.faults

    def through(self, number: int, samples: Samples, snr_db: float) -> Burst | None:
        """Send a burst at an SNR, and receive it; None if it did not come back.

        Raises
        ------
        RadioError
            If GNU Radio is dead, for good where it may be started again, or sends what cannot be read.
        """
        try:
            return self._once(number, samples, snr_db)
        except RadioError as error:
            epitaph = self._radio.epitaph() if self._radio is not None else ""
            if not epitaph or not self._restarts_left:
                after = f", after {self.restarts} restarts" if self.restarts else ""
                raise RadioError(f"{error}{after}") from None
            self._restart(epitaph)
            return None

    def _restart(self, epitaph: str) -> None:
        self._restarts_left -= 1
        self.restarts += 1
        self._earlier += self._exchange.faults
        self.close()
        _LOG.warning("%s; it is started again", epitaph)
        self._open()

    def _once(self, number: int, samples: Samples, snr_db: float) -> Burst | None:
        if self._radio is not None and snr_db != self._snr_db:
            self._radio.set(noise_voltage=noise_voltage(snr_db))
            self._exchange.fill(self._radio.settle, self._timeout, self._still)  # pushes the old noise out
            self._snr_db = snr_db
        burst = self._exchange.there_and_back(number, samples, self._timeout, self._still)
        self._silent = 0 if burst is not None else self._silent + 1
        if burst is None and self._radio is not None and (epitaph := self._radio.epitaph()):
            raise RadioError(epitaph)
        if self._radio is None and self._silent >= GIVE_UP:
            raise RadioError(
                f"{GIVE_UP} bursts in a row had no answer ({self.told()}): no GNU Radio {self._where}, or it is stuck"
            )
        return burst

    def told(self) -> str:
        """The faults in words."""
        return ", ".join(f"{kind}: {n}" for kind, n in sorted(self.faults.items())) or "nothing came"

    def close(self) -> None:
        """Close the sockets, end our own GNU Radio and wait until it is gone."""
        self._sockets.close()
        if self._radio is not None:
            self._radio.end()
            self._radio = None

    def _still(self) -> bool:
        return self._go_on() and not (self._radio is not None and self._radio.epitaph())
