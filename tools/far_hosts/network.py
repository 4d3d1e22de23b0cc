"""A network of real hosts on this machine: a network namespace each, TCP of the kernel, and cables of our making.

    namespace a               this process                  namespace b
    TCP ── TAP device ──── delay, loss, rate ──── TAP device ── TCP

``tc netem`` does the same to a veth pair, where the kernel has it. Doing it here needs no module, the same seed loses
packets alike, and several hosts meet at one switch. A cable is cut as a real one is: ``ip link set … down``.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_BROADCAST = b"\xff" * 6
QUEUE_S = 0.5
"""What a cable with a rate holds back for longer than this is lost, as in a router."""


def why_not() -> str:
    """Why there can be no such network here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    if shutil.which("ip") is None:
        return "needs the command ip (iproute2)"
    made = subprocess.run(["ip", "netns", "add", f"probe{os.getpid()}"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", f"probe{os.getpid()}"], check=False)
    return ""


class Network:
    """Hosts that meet at one switch. A context manager; `address` says where each is.

    Parameters
    ----------
    hosts
        Their names.
    delay_s
        Of each cable, one way: between two hosts it comes twice.
    loss
        Share of packets that a cable loses, each way.
    rate
        Bits a second of each cable, each way; 0: as many as come.
    seed
        Of what is lost.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        delay_s: float = 0.0,
        loss: float = 0.0,
        rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.hosts = list(hosts)
        self.address = {name: f"10.77.0.{number}" for number, name in enumerate(self.hosts, 1)}
        self.delay_s, self.loss, self.rate = delay_s, loss, rate
        self.carried = self.lost = 0
        self._random = random.Random(seed)
        self._tag = f"{os.getpid() % 100_000}{id(self) // 16 % 1000:03d}"
        self._taps: list[int] = []
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="network", daemon=True)

    def __enter__(self) -> Network:
        try:
            for number, name in enumerate(self.hosts):
                self._plug_in(number, name)
        except BaseException:
            self._remove()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join(5)
        self._remove()

    def command(self, host: str, *arguments: str) -> list[str]:
        """A command as it runs on a host."""
        return ["ip", "netns", "exec", self._namespace(host), *arguments]

    def start(self, host: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command on a host."""
        return subprocess.Popen(self.command(host, *arguments), text=True, **options)

    def cut(self, host: str) -> None:
        """Pull the cable of a host."""
        self._link(host, "down")

    def mend(self, host: str) -> None:
        """Plug it in again."""
        self._link(host, "up")

    # -- hosts -----------------------------------------------------------------------------------------------------

    def _namespace(self, host: str) -> str:
        return f"{host}-{self._tag}"

    def _device(self, host: str) -> str:
        return f"t{self.hosts.index(host)}-{self._tag}"

    def _link(self, host: str, state: str) -> None:
        _ip("-n", self._namespace(host), "link", "set", self._device(host), state)

    def _plug_in(self, number: int, name: str) -> None:
        namespace, device = self._namespace(name), self._device(name)
        _ip("netns", "add", namespace)
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self._taps.append(tap)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", device.encode(), _TAP_WITHOUT_HEADER))
        _ip("link", "set", device, "netns", namespace)
        _ip("-n", namespace, "addr", "add", f"{self.address[name]}/24", "dev", device)
        _ip("-n", namespace, "link", "set", "lo", "up")
        self._link(name, "up")

    def _remove(self) -> None:
        for tap in self._taps:
            os.close(tap)
        self._taps.clear()
        for name in self.hosts:
            subprocess.run(["ip", "netns", "del", self._namespace(name)], capture_output=True, check=False)

    # -- cables ----------------------------------------------------------------------------------------------------

    def _carry(self) -> None:
        """The switch and all cables, until the network is left."""
        free = dict.fromkeys([(tap, way) for tap in self._taps for way in "io"], 0.0)
        port_of: dict[bytes, int] = {}
        due: list[tuple[float, int, int, bytes]] = []
        order = 0
        while not self._leave.is_set():
            wait = max(0.0, min(0.05, due[0][0] - time.monotonic())) if due else 0.05
            ready, _, _ = select.select(self._taps, [], [], wait)
            now = time.monotonic()
            for tap in ready:
                with suppress(BlockingIOError, OSError):
                    while True:
                        packet = os.read(tap, 65536)
                        port_of[packet[6:12]] = tap
                        known = port_of.get(packet[:6])
                        for other in self._taps if known is None or packet[:6] == _BROADCAST else [known]:
                            if other == tap:
                                continue
                            at = self._through(free, (tap, "i"), now, packet)
                            at = at and self._through(free, (other, "o"), at, packet)
                            if at is None:
                                self.lost += 1
                            else:
                                order += 1
                                heapq.heappush(due, (at, order, other, packet))
            now = time.monotonic()
            while due and due[0][0] <= now:
                _, _, tap, packet = heapq.heappop(due)
                with suppress(OSError):  # its cable is out
                    os.write(tap, packet)
                    self.carried += 1

    def _through(
        self, free: dict[tuple[int, str], float], cable: tuple[int, str], now: float, packet: bytes
    ) -> float | None:
        """When a packet is at the other end of a cable; None if it gets lost."""
        if self.loss and self._random.random() < self.loss:
            return None
        if self.rate:
            begin = max(now, free[cable])
            if begin - now > QUEUE_S:
                return None
            now = free[cable] = begin + len(packet) * 8 / self.rate
        return now + self.delay_s


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
