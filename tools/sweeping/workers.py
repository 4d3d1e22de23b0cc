"""Who measures the points of a sweep: the cores of this machine, or the hosts of a Ray cluster."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from semstream.runtime.engines.cluster.joining import join, ray_module
from tools.evaluation.table import Row
from tools.sweeping.desk import measure, measure_there
from tools.sweeping.grid import Cargo, Job, Point

AHEAD = 2
"""Points that wait for each core: none is idle, and few are lost when the sweep is stopped."""
LOOK_S = 1.0


class SweepError(RuntimeError):
    """A sweep cannot go on: says where it stands and the way out."""


def on_cores(job: Job, points: Sequence[Point], workers: int) -> Iterator[tuple[int, Row]]:
    """Measure on cores of this machine; (number of the point, row) as they come.

    Raises
    ------
    SweepError
        If a worker dies.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _ignore_interrupt)
    numbers: dict[Future[Row], int] = {}
    try:
        left = iter(enumerate(points))
        while True:
            while len(numbers) < AHEAD * workers and (following := next(left, None)) is not None:
                numbers[pool.submit(measure, job, following[1])] = following[0]
            if not numbers:
                return
            done, _ = wait(numbers, return_when=FIRST_COMPLETED)
            for future in done:
                yield numbers.pop(future), future.result()
    except BrokenProcessPool:
        raise SweepError(
            "a worker was killed (is there memory enough for all of them? --workers N); "
            "the same command goes on from here"
        ) from None
    finally:
        pool.shutdown(wait=not numbers, cancel_futures=True)
        if numbers:
            for child in multiprocessing.active_children():
                child.terminate()


def _ignore_interrupt() -> None:
    """Ctrl-C is for the sweep, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def on_cluster(
    job: Job, points: Sequence[Point], cargo: Cargo, address: str, note: Callable[[str], None]
) -> Iterator[tuple[int, Row]]:
    """Measure on the hosts of a Ray cluster, a CPU a point; (number of the point, row) as they come.

    A point whose host dies is measured again on another. Hosts may come while it runs.

    Raises
    ------
    FlowgraphError
        If there is no such cluster.
    SweepError
        If its hosts cannot measure.
    """
    joined = join(address, {})
    ray = ray_module()
    numbers: dict[Any, int] = {}
    try:
        goods = ray.put(cargo)
        task = ray.remote(num_cpus=1, max_retries=-1)(measure_there)
        left = iter(enumerate(points))
        hosts = 0
        while True:
            alive = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
            if len(alive) != hosts:
                note(f"{len(alive)} hosts with {sum(alive):g} CPU")
                hosts = len(alive)
            if sum(alive) < 1:
                raise SweepError(f"the Ray cluster {address} has {sum(alive):g} CPU on {hosts} hosts; a point takes 1")
            while len(numbers) < AHEAD * sum(alive) and (following := next(left, None)) is not None:
                numbers[task.remote(job, following[1], goods)] = following[0]
            if not numbers:
                return
            ready, _ = ray.wait(list(numbers), num_returns=1, timeout=LOOK_S)
            for call in ready:
                yield numbers.pop(call), _row(ray, call)
    finally:
        for call in numbers:
            ray.cancel(call, force=True)
        if joined:
            ray.shutdown()


def _row(ray: Any, call: Any) -> Row:
    try:
        row: Row = ray.get(call)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        text = str(cause).strip().splitlines()[-1]
        hint = ""
        if isinstance(cause, ImportError | ray.exceptions.RaySystemError) or "No module named" in str(error):
            hint = "; every host needs semstream and its tools, the same version as here"
        raise SweepError(f"a host of the cluster cannot measure: {type(cause).__name__}: {text}{hint}") from None
    except ray.exceptions.RayError as error:
        raise SweepError(f"the cluster lost a point: {str(error).splitlines()[0]}") from None
    return row
