"""On the radio: complex samples to and from GNU Radio over ZeroMQ, and to and from SigMF recordings.

::

    frame's symbols --> bursts --> messages (raw | tagged | PDU) ==ZeroMQ==> GNU Radio ==ZeroMQ==> messages --> bursts

`pmt` and `messages` are byte formats, `bursts` is where a frame's samples lie in a stream, `endpoints` the sockets,
`process` starts GNU Radio under its own Python, `companion` holds the flowgraphs that run there, `samples` finds what
is wrong with samples, `recording` is SigMF, `sample_files` are streams that know of no frames. GNU Radio is needed only
where it runs: none of this imports it.
"""

from semstream.radio.errors import RadioError

__all__ = ["RadioError"]
