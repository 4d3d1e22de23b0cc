"""All targets by name."""

from __future__ import annotations

from tools.fuzzing import codec, files, monitor, radio, wire
from tools.fuzzing.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for room in (wire, files, radio, codec, monitor) for target in room.TARGETS
}
