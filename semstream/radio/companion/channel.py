"""A channel in GNU Radio: samples in over ZeroMQ, through fading, multipath, frequency offset and noise, and out again.

    python3 channel.py --receive tcp://127.0.0.1:5555 --send tcp://127.0.0.1:5556 --noise-voltage 0.3

Run it with the Python that has GNU Radio, mostly /usr/bin/python3; ``channel.grc`` beside it is the same flowgraph for
GNU Radio Companion. It connects to `--receive` and binds `--send`, and reports in lines of JSON:
``{"ready": endpoint, "settle": samples}`` once, then ``{"set": values}`` after each line of JSON on standard input that
sets ``noise_voltage`` or ``frequency_offset``; the samples in its buffers, `settle` at most, still go by the old value.
With ``--report`` it ends when standard input does, so that it never outlives whoever started it.

Noise of voltage v is complex and of variance v². Fading and multipath have unit mean gain.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

BUFFER_ITEMS = 262_144
"""Room in a buffer, so that a message of 8,192 samples always fits and is not held up for `POLL_MS`."""
SETTLE_ITEMS = 2 * 8_192
"""Noise that is made ahead, in a buffer of GNU Radio's default size."""
POLL_MS = 5_000
"""A source that has idled for longer than this answers the next message up to 250 ms late."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receive", required=True, help="endpoint to connect to, where samples come from")
    parser.add_argument("--send", default="tcp://127.0.0.1:*", help="endpoint to bind, where samples go")
    parser.add_argument("--mode", choices=["raw", "tagged", "pdu"], default="tagged", help="form of the messages")
    parser.add_argument("--bare", action="store_true", help="no channel at all: samples come back as they went")
    parser.add_argument("--noise-voltage", type=float, default=0.0, help="v of noise of variance v²")
    parser.add_argument("--frequency-offset", type=float, default=0.0, help="of the sample rate")
    parser.add_argument("--taps", default="1", help="multipath, complex numbers such as 1,0.3+0.2j; made unit energy")
    parser.add_argument("--fading", choices=["none", "rayleigh", "rician"], default="none")
    parser.add_argument("--doppler", type=float, default=1e-4, help="maximum Doppler shift, of the sample rate")
    parser.add_argument("--rician-k", type=float, default=3.0, help="direct over scattered power, linear")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, default=65_536, help="longest PDU in samples")
    parser.add_argument("--report", type=int, default=-1, help="file descriptor of reports; then ends with stdin")
    return parser.parse_args()


def unit_taps(text: str) -> list[complex]:
    """``1,0.3+0.2j`` as taps of unit energy."""
    taps = [complex(part) for part in text.split(",")]
    energy = sum(abs(tap) ** 2 for tap in taps)
    if not 0 < energy < float("inf"):
        raise ValueError(f"--taps {text!r}: expected complex numbers that are not all 0")
    return [tap / energy**0.5 for tap in taps]


class Channel:
    """The flowgraph: ends in the mode asked for, and between them the blocks of the channel."""

    def __init__(self, options: argparse.Namespace) -> None:
        from gnuradio import channels, gr

        self.top = gr.top_block("semstream channel")
        self.settle = SETTLE_ITEMS
        chain: list[Any] = []
        if options.fading != "none" and not options.bare:
            direct = options.fading == "rician"
            chain.append(channels.fading_model(8, options.doppler, direct, options.rician_k, options.seed))
        self.model: Any = None
        if not options.bare:
            self.model = channels.channel_model(
                options.noise_voltage, options.frequency_offset, 1.0, unit_taps(options.taps), options.seed, False
            )
            chain.append(self.model)
        if options.mode == "pdu":
            self._pdus(options, chain)
        else:
            self._stream(options, chain)

    def _stream(self, options: argparse.Namespace, chain: list[Any]) -> None:
        from gnuradio import blocks, gr, zeromq

        with_tags = options.mode == "tagged"
        source = zeromq.pull_source(gr.sizeof_gr_complex, 1, options.receive, POLL_MS, with_tags, -1)
        self.sink = zeromq.push_sink(gr.sizeof_gr_complex, 1, options.send, 100, with_tags, -1)
        source.set_min_output_buffer(BUFFER_ITEMS)
        self.top.connect(source, *(chain or [blocks.copy(gr.sizeof_gr_complex)]), self.sink)

    def _pdus(self, options: argparse.Namespace, chain: list[Any]) -> None:
        from gnuradio import gr, pdu, zeromq

        source = zeromq.pull_msg_source(options.receive, 100, False)
        self.sink = zeromq.push_msg_sink(options.send, 100, True)
        opened = pdu.pdu_to_tagged_stream(gr.types.complex_t, "packet_len")
        closed = pdu.tagged_stream_to_pdu(gr.types.complex_t, "packet_len")
        for block in (opened, *chain):  # a PDU that does not fit twice stops for ever
            block.set_min_output_buffer(2 * options.longest + 8192)
        self.settle += 2 * options.longest + 8192
        self.top.msg_connect(source, "out", opened, "pdus")
        self.top.connect(opened, *chain, closed)
        self.top.msg_connect(closed, "pdus", self.sink, "in")

    def set(self, values: dict[str, float]) -> None:
        """Change noise or frequency offset, for samples that come from now on but for those made ahead."""
        for name, value in values.items():
            if name not in ("noise_voltage", "frequency_offset") or self.model is None:
                raise ValueError(f"{name!r} cannot be set")
            getattr(self.model, f"set_{name}")(float(value))


def main() -> None:
    """Run until standard input ends."""
    options = arguments()
    watched = options.report >= 0
    with os.fdopen(options.report if watched else 1, "w", buffering=1, encoding="utf-8") as reports:

        def report(**values: Any) -> None:
            print(json.dumps(values), file=reports, flush=True)

        try:
            channel = Channel(options)
        except ImportError as error:
            report(error=f"no GNU Radio under {sys.executable} ({error})")
            sys.exit(3)
        except (ValueError, RuntimeError) as error:
            report(error=str(error))
            sys.exit(2)
        channel.top.start()
        report(ready=channel.sink.last_endpoint().rstrip("\0"), settle=channel.settle)
        for line in sys.stdin:
            try:
                values = json.loads(line)
                channel.set(values)
                report(set=values)
            except (ValueError, TypeError, AttributeError) as error:
                report(error=str(error))
        if not watched:  # started by hand, perhaps in the background
            channel.top.wait()
        os._exit(0)  # the blocks would wait out their polls first, and nothing is left to be saved


if __name__ == "__main__":
    main()
