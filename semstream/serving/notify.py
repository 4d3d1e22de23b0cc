"""Notifier: what a service tells systemd, as sd_notify(3) does it: a datagram to the socket in ``NOTIFY_SOCKET``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells a service manager how it stands; without one it does nothing.

    Parameters
    ----------
    environment
        Where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are looked for.

    Attributes
    ----------
    watchdog_s : float
        The manager wants a sign of life within so many seconds; 0: it does not.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(microseconds) / 1e6 if ours and microseconds.isdigit() else 0.0
        self._fed_at = 0.0

    def tell(self, *lines: str) -> bool:
        """Send assignments such as ``READY=1``; False where nobody listens."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # a manager that is gone or busy is no reason to stop
            return False
        return True

    def ready(self, status: str) -> None:
        """The service does its work, from now on or again."""
        self.tell("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """A line for ``systemctl status``."""
        self.tell(f"STATUS={text}")

    def reloading(self) -> None:
        """The file is read again; `ready` says when that is done."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service comes to its end."""
        self.tell("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """A sign of life, where one is wanted and due."""
        if self.watchdog_s and time.monotonic() - self._fed_at >= self.watchdog_s / 3:
            self._fed_at = time.monotonic()
            self.tell("WATCHDOG=1")
