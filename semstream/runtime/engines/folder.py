"""The private folder of a run under the engine `processes`: its sockets live there, and it goes with the run.

Its name is chosen before it is made, so that whoever outlives a killed owner (the fork server, the children) knows what
to remove by the time there is something.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time

MAX_IPC_PATH = 100
"""The path of an ipc socket has 107 bytes."""
TRIES = 40
PAUSE_S = 0.05


def choose_folder() -> str:
    """A path that nobody else has; short enough for sockets in it."""
    name = f"semstream-{secrets.token_hex(6)}"
    path = os.path.join(tempfile.gettempdir(), name)
    return path if len(path) <= MAX_IPC_PATH - 20 else os.path.join("/tmp", name)


def make_folder(path: str) -> None:
    """Make it, for this user alone.

    Raises
    ------
    OSError
        If it cannot be made, or something is there already.
    """
    os.mkdir(path, 0o700)


def remove_folder(path: str) -> None:
    """Remove it, also while a process that is about to end still makes a socket in it."""
    for _ in range(TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        time.sleep(PAUSE_S)
