"""Desk: where points are measured; one in each process that works at a sweep, here or on a host of a cluster."""

from __future__ import annotations

import copy
import tempfile
from functools import lru_cache
from pathlib import Path

from tools.evaluation.pictures import Pictures, open_pictures
from tools.evaluation.run import Evaluation
from tools.evaluation.simulate import Simulator
from tools.evaluation.table import Results, Row
from tools.sweeping.grid import Cargo, Job, Point


class Desk:
    """Keeps pictures, networks and what they have encoded from point to point.

    One thread computes, so that a row does not depend on how many cores a machine has.
    """

    def __init__(self, job: Job) -> None:
        import torch

        torch.set_num_threads(1)
        self._job = job
        self.pictures: Pictures | None = None
        self._simulators: dict[str, Simulator] = {}

    def measure(self, point: Point, cargo: Cargo | None = None) -> Row:
        """The row of a point; without its time, which says nothing where many share a machine."""
        if self.pictures is None:
            job = self._job
            self.pictures = cargo.pictures if cargo is not None else open_pictures(job.images, job.limit, job.size)
        link = copy.copy(self._simulator(point.weights, cargo))
        link.seed, link.digital = point.seed, None
        (row,) = Evaluation(link, self.pictures, Results(None)).measure([point.case], quiet=True)
        return row | {"seconds_per_image": None}

    def _simulator(self, weights: str, cargo: Cargo | None) -> Simulator:
        if weights not in self._simulators:
            self._simulators.clear()  # points come by weights
            self._simulators[weights] = Simulator(_found(weights, cargo), precision=self._job.precision)
        return self._simulators[weights]


def _found(weights: str, cargo: Cargo | None) -> str:
    """Weights by name, or the file; one that is not on this host is written to a folder of its own."""
    if cargo is None or weights not in cargo.weights or Path(weights).is_file():
        return weights
    copied = Path(tempfile.mkdtemp(prefix="semstream-weights-")) / Path(weights).name
    copied.write_bytes(cargo.weights[weights])
    return str(copied)


@lru_cache(maxsize=1)
def desk_of(job: Job) -> Desk:
    """The desk of this process."""
    return Desk(job)


def measure(job: Job, point: Point) -> Row:
    """Body of a task on this machine."""
    return desk_of(job).measure(point)


def measure_there(job: Job, point: Point, cargo: Cargo) -> Row:
    """Body of a task on a host of a cluster."""
    return desk_of(job).measure(point, cargo)
