"""A flowgraph as a command: options, progress, live page, table and records. Imports blocks, monitor, metrics, runtime.

A script of one's own has a function that builds a flowgraph, and three lines more::

    from semstream.script import run_as_command

    if __name__ == "__main__":
        run_as_command(flowgraph)

Each parameter of the function is an option of the command, beside those of every run: ``--engine``, ``--seed``,
``--durable``, ``--restart``, ``--set``, ``--weights``, ``--lpips``, ``--out``, ``--monitor``, ``--monitor-keys``,
``--control``, ``--hold``, ``--prometheus``.
"""

from semstream.script.command import run_as_command, with_run_options
from semstream.script.execution import execute
from semstream.script.options import Bits, Channel, Fps, Frames, RunOptions, Size, Snr, Source, names, numbers
from semstream.script.pictures import swept_pictures

__all__ = [
    "Bits",
    "Channel",
    "Fps",
    "Frames",
    "RunOptions",
    "Size",
    "Snr",
    "Source",
    "execute",
    "names",
    "numbers",
    "run_as_command",
    "swept_pictures",
    "with_run_options",
]
