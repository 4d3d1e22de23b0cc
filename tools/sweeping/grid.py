"""The points of a sweep: which case, with which weights and seed, and what its row is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semstream.codec.checkpoint import weights_path
from tools.evaluation.case import Case
from tools.evaluation.pictures import Pictures
from tools.evaluation.table import Row, describe


@dataclass(frozen=True)
class Point:
    """One row of the sweep."""

    weights: str
    seed: int
    case: Case


@dataclass(frozen=True)
class Job:
    """What is the same at every point, in plain values: which pictures, and how the networks run."""

    images: str
    limit: int
    size: int
    precision: str


@dataclass(frozen=True)
class Cargo:
    """What a host of a cluster may not have: the pictures, and the content of weights that are files."""

    pictures: Pictures
    weights: dict[str, bytes]

    @classmethod
    def load(cls, pictures: Pictures, weights: Sequence[str]) -> Cargo:
        """Read what is to go along."""
        return cls(pictures, {name: Path(name).read_bytes() for name in weights if name and Path(name).is_file()})


def points_of(cases: Sequence[Case], weights: Sequence[str], seeds: Sequence[int]) -> list[Point]:
    """Every combination; those of one set of weights, which share what is encoded, in a row."""
    return [Point(name, seed, case) for name in weights for case in cases for seed in seeds]


def describe_point(point: Point, pictures: Pictures) -> Row:
    """The columns that say which point a row is of."""
    return describe(point.case, pictures.name, len(pictures), weights_path(point.weights).stem, point.seed)
