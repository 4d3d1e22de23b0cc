"""Worker of `tools/fuzz.py`: one target under atheris, in a process of its own.

python -m tools.fuzzing.worker NAME CORPUS [options of libFuzzer]
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

MORE_BYTES = 2**30
"""Address space that an input may take beside what was there before: a length that lies asks for more."""


def main(name: str, corpus: str, options: list[str]) -> None:
    """Fuzz until the inputs are used up or something is found; then the process ends."""
    import atheris

    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as made:
        with atheris.instrument_imports(include=["semstream", "blocks"], enable_loader_override=False):
            from tools.fuzzing.targets import TARGETS

            target = TARGETS[name]
            one = made.enter_context(target.make())
            for number, seed in enumerate(target.seeds()):
                (folder / f"seed-{number}").write_bytes(seed)
                one(seed)  # what is imported at the first use is imported here, and its branches guide the search
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        atheris.Setup([sys.argv[0], corpus, f"-artifact_prefix={corpus}/", *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
