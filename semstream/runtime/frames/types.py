"""Types of frames: the arrays that a port carries, their dtypes and shapes, and how two types fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from semstream.runtime.errors import PortError

_BITS = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64), "complex": (64, 128)}
DTYPE_NAMES = ("bool", *(f"{kind}{bits}" for kind, widths in _BITS.items() for bits in widths))
DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name).newbyteorder("=") for name in DTYPE_NAMES}
NAME_OF_DTYPE: dict[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}
MAX_ARRAYS = 64
MAX_DIMENSIONS = 16

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ArraySpec:
    """Dtype and shape of one array.

    Parameters
    ----------
    dtype
        One of the names in `DTYPE_NAMES`, or anything that `numpy.dtype` takes for one of them.
    shape
        One entry a dimension: an int (exactly so many), a name (any size; equal names are equal sizes within a frame)
        or ``"*"`` (any size).
    """

    dtype: str
    shape: tuple[int | str, ...]

    def __post_init__(self) -> None:
        name = np.dtype(self.dtype).name
        if name not in DTYPES:
            raise PortError(f"array of dtype {self.dtype!r}: expected one of {', '.join(DTYPE_NAMES)}")
        object.__setattr__(self, "dtype", name)
        object.__setattr__(self, "shape", tuple(self.shape))

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class PortType:
    """What a port carries.

    Parameters
    ----------
    name
        Name of the type; two ports connect only if their types have the same name. ``"*"`` is any type.
    arrays
        The arrays that every frame has.
    optional
        Arrays that a frame may have.
    max_elements
        Most elements in one array; what comes with more is refused before it is read.
    """

    name: str
    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    optional: Mapping[str, ArraySpec] = field(default_factory=dict)
    max_elements: int = 2**26
    # The frames of a stream mostly look alike: what was found right last time is not checked again.
    _seen: list[Any] = field(default_factory=lambda: [None], init=False, repr=False, compare=False)
    _sent: list[Any] = field(default_factory=lambda: [None], init=False, repr=False, compare=False)
    _handed: list[Any] = field(default_factory=lambda: [None], init=False, repr=False, compare=False)
    _specs: dict[str, tuple[np.dtype[Any], tuple[int | str, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, spec in {**self.arrays, **self.optional}.items():
            self._specs[name] = (DTYPES[spec.dtype], spec.shape)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.arrays), tuple(self.optional)))

    def __str__(self) -> str:
        parts = [f"{n}: {s}" for n, s in self.arrays.items()] + [f"{n}?: {s}" for n, s in self.optional.items()]
        return f"{self.name}({', '.join(parts)})"

    @property
    def is_any(self) -> bool:
        """Whether this type accepts every array."""
        return self.name == "*"

    @property
    def max_message_bytes(self) -> int:
        """Largest single message part that a frame of this type can have."""
        widest = max((d.itemsize for d, _ in self._specs.values()), default=16)
        return max(1, self.max_elements) * widest

    def mismatch(self, arrays: Iterable[tuple[str, np.dtype[Any], Shape]]) -> tuple[str, str] | None:
        """Why a frame with these (name, dtype, shape) is not of this type: (reason code, words), or None if it is."""
        sizes: dict[str, int] = {}
        required = 0
        specs = self._specs
        for name, dtype, shape in arrays:
            elements = 1
            for size in shape:
                elements *= size
            if elements > self.max_elements:
                return "too_many_elements", f"array {name!r} has {elements} elements, the limit is {self.max_elements}"
            if self.is_any:
                continue
            spec = specs.get(name)
            if spec is None:
                return "undeclared_array", f"expected {self}, got an array {name!r} that it does not declare"
            if dtype != spec[0]:
                return "dtype", f"array {name!r}: expected dtype {spec[0].name}, got {dtype}"
            if len(shape) != len(spec[1]):
                return "shape", f"array {name!r}: expected shape {_words(spec[1])}, got {_words(shape)}"
            for size, want in zip(shape, spec[1], strict=True):
                if want == "*" or want == size:
                    continue
                if isinstance(want, int) or sizes.setdefault(want, size) != size:
                    known = "" if isinstance(want, int) else f" with {want} = {sizes[want]} in this frame"
                    return "shape", f"array {name!r}: expected shape {_words(spec[1])}{known}, got {_words(shape)}"
            required += name in self.arrays
        if required < len(self.arrays):
            return "missing_array", f"expected {self}, and not all of its arrays are there"
        return None

    def refusal(self, other: PortType) -> str | None:
        """Why a receiver of type `other` cannot take what a sender of this type gives, or None if it can."""
        if self.is_any or other.is_any:
            return None
        if self.name != other.name:
            return f"expected {other}, got {self}"
        for name, spec in other.arrays.items():
            if name not in self.arrays:
                return f"expected an array {name!r}: {spec} in every frame, got {self}"
        for name, spec in {**self.arrays, **self.optional}.items():
            theirs = other.arrays.get(name) or other.optional.get(name)
            if theirs is None:
                return f"expected {other}, got an array {name!r}: {spec} that it does not declare"
            if theirs.dtype != spec.dtype:
                return f"array {name!r}: expected dtype {theirs.dtype}, got {spec.dtype}"
            fits = len(theirs.shape) == len(spec.shape) and all(
                a == b or isinstance(a, str) or isinstance(b, str)
                for a, b in zip(theirs.shape, spec.shape, strict=True)
            )
            if not fits:
                return f"array {name!r}: expected shape {_words(theirs.shape)}, got {_words(spec.shape)}"
        return None

    def describe(self) -> dict[str, Any]:
        """The type as msgpack values, for the hello between two flowgraphs."""
        return {
            "name": self.name,
            "arrays": {n: [s.dtype, list(s.shape)] for n, s in self.arrays.items()},
            "optional": {n: [s.dtype, list(s.shape)] for n, s in self.optional.items()},
        }

    @classmethod
    def from_description(cls, value: Any) -> PortType:
        """Inverse of `describe`, for values that came from outside.

        Raises
        ------
        ValueError
            If `value` is not such a description.
        """
        try:
            name, arrays, optional = value["name"], _specs(value["arrays"]), _specs(value["optional"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"not a port type: {error!s:.200}") from error
        if not _is_short(name):
            raise ValueError("not a port type: its name is no short text")
        return cls(name, arrays, optional)


def _specs(described: Any) -> dict[str, ArraySpec]:
    """Arrays as `PortType.describe` gives them. NumPy is not asked what a foreign dtype means: it parses much."""
    if len(described) > MAX_ARRAYS:
        raise ValueError(f"{len(described)} arrays")
    specs = {}
    for name, (dtype, shape) in described.items():
        if not _is_short(name) or not _is_short(dtype) or dtype not in DTYPES:
            raise ValueError(f"array {name!r:.40} of dtype {dtype!r:.40}")
        if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"array {name!r}: its shape is not a short list")
        if not all((type(size) is int and size >= 0) or _is_short(size) for size in shape):
            raise ValueError(f"array {name!r}: a size is neither a number nor a name")
        specs[name] = ArraySpec(dtype, tuple(shape))
    return specs


def _is_short(value: object) -> bool:
    return type(value) is str and len(value) <= 256


def _words(shape: Iterable[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"


ANY = PortType("*")
"""Type of a port that takes every frame (probes, throttles)."""
