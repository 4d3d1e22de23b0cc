"""The rooms: what may import what, and what an import costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("room", ["codec", "quantize", "phy", "metrics", "data"])
def test_the_mathematics_imports_neither_runtime_nor_zeromq_nor_blocks(room: str) -> None:
    for path in (ROOT / "semstream" / room).glob("*.py"):
        found = re.findall(r"^\s*(?:from|import) +(zmq|semstream\.runtime|blocks)\b", path.read_text(), re.MULTILINE)
        assert not found, f"{path.name} imports {found}"


MODULES = ["blocks", "semstream.runtime", "semstream.testing", "semstream.phy", "semstream.cli"]
HEAVY = ("torch", "timm", "lpips", "matplotlib", "av")


@pytest.mark.parametrize("module", MODULES)
def test_importing_it_does_not_import_a_network(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_is_unpickled_unsafely() -> None:
    paths = [p for room in ("semstream", "blocks", "flowgraphs") for p in (ROOT / room).rglob("*.py")]
    for path in paths:
        assert not re.search(r"recv_pyobj|send_pyobj|weights_only=False|pickle\.loads?\(", path.read_text()), path


def test_shipped_weights_stay_small() -> None:
    files = list((ROOT / "semstream" / "weights").glob("*.safetensors"))
    assert files
    assert sum(p.stat().st_size for p in files) < 40e6
    for path in files:
        assert path.with_suffix(".md").is_file(), f"{path.name} has no card"
