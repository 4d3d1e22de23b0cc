"""The rooms: what may import what, and what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("semstream", "blocks", "flowgraphs", "tools")

RUNTIME = "semstream.runtime"
FLOORS = [  # from the ground up; a room imports what stands on lower floors, never its neighbours nor what is above
    {"runtime.errors", "runtime.counters", "runtime.records"},
    {"quantize", "phy", "metrics", "data", "drawing", "progress"},
    {"runtime.frames", "codec", "radio"},
    {"runtime.block", "sharing"},
    {"runtime.graph"},
    {"runtime.edges", "runtime.files", "runtime.report"},
    {"runtime.durable"},
    {"runtime.engines"},
    {"runtime.run"},
    {"runtime.signals"},
    {"runtime.flowgraph"},
    {"runtime"},  # the public face, which hands names on
    {"testing", "monitor"},
    {"blocks"},
    {"script", "serving"},
    {"commands"},
    {"cli", "flowgraphs"},
    {"tools.bench_parts", "tools.evaluation", "tools.training", "tools.soaking", "tools.fuzzing", "tools.far_hosts"},
    {"tools.reproduction", "tools.sweeping"},
    {
        "tools.across_hosts",
        "tools.bench",
        "tools.crash",
        "tools.evaluate",
        "tools.fuzz",
        "tools.profile",
        "tools.reproduce",
        "tools.screenshot",
        "tools.soak",
        "tools.sweep",
        "tools.train",
    },
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


@cache
def modules() -> dict[str, Path]:
    paths = (path for top in TOPS for path in (ROOT / top).rglob("*.py"))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def room_of(module: str) -> str:
    """`semstream.runtime.edges.sender` → `runtime.edges`; `tools.train` → itself; `blocks.probe` → `blocks`."""
    parts = module.removeprefix("semstream.").split(".")
    return ".".join(parts[: 2 if parts[0] in ("runtime", "tools") else 1])


@cache
def imports(module: str) -> tuple[tuple[str, str], ...]:
    """Every (module, name) imported anywhere in a module: late and type-only imports too."""
    found = []
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively: {node.module}"
            found += [(node.module or "", alias.name) for alias in node.names]
    return tuple((source, name) for source, name in found if source.split(".")[0] in TOPS)


def targets(module: str, *, follow: bool) -> set[str]:
    """The modules of the project that a module imports; `follow` names what stands behind a package's face."""
    result = set()
    for source, name in imports(module):
        target = f"{source}.{name}" if f"{source}.{name}" in modules() else source
        face = modules().get(target)
        if follow and face is not None and face.name == "__init__.py" and target == source:
            target = next((origin for origin, given in imports(source) if given == name), source)
        if target in modules():
            result.add(target)
    return result - {module}


def test_every_room_stands_on_a_floor() -> None:
    missing = {room_of(module) for module in modules()} - set(FLOOR) - {"semstream", "tools"}
    assert not missing, f"say in FLOORS where these rooms stand: {sorted(missing)}"
    assert not set(FLOOR) - {room_of(module) for module in modules()}, "FLOORS names rooms that are not there"


def test_no_room_imports_one_above_or_beside_it() -> None:
    wrong = [
        f"{module} ({room_of(module)}) imports {target} ({room_of(target)})"
        for module in modules()
        if room_of(module) in FLOOR
        for target in targets(module, follow=False)
        if room_of(target) in FLOOR
        and room_of(target) != room_of(module)
        and FLOOR[room_of(target)] >= FLOOR[room_of(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_run_in_a_circle() -> None:
    inner = {name for name, path in modules().items() if path.name != "__init__.py"}  # a face only hands names on
    graph = {name: targets(name, follow=True) & inner for name in inner}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail("imports in a circle: " + " → ".join(circle.args[1]))


def test_every_room_says_what_it_is_for() -> None:
    for name, path in modules().items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name} does not say what it is for"


@pytest.mark.parametrize("room", ["codec", "quantize", "phy", "metrics", "data", "sharing"])
def test_the_mathematics_imports_neither_runtime_nor_zeromq_nor_blocks(room: str) -> None:
    for path in (ROOT / "semstream" / room).rglob("*.py"):
        found = re.findall(r"^\s*(?:from|import) +(zmq|semstream\.runtime|blocks)\b", path.read_text(), re.MULTILINE)
        assert not found, f"{path.name} imports {found}"


MODULES = ["blocks", RUNTIME, "semstream.testing", "semstream.phy", "semstream.radio", "semstream.cli"]
HEAVY = ("torch", "timm", "lpips", "matplotlib", "av")


@pytest.mark.parametrize("module", MODULES)
def test_importing_it_does_not_import_a_network(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_a_block_is_imported_when_it_is_asked_for_and_every_one_is_named_in_the_stub() -> None:
    code = "import sys, blocks; blocks.ImageSource; print(*(m for m in sys.modules if m.startswith('blocks.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.split())
    assert "blocks.image_source" in loaded
    assert not loaded & {"blocks.swin_encoder", "blocks.qam_demodulator", "blocks.band_scheduler"}
    stub = (ROOT / "blocks" / "__init__.pyi").read_text(encoding="utf-8")
    named = set(re.findall(r"^from \.(\w+) import", stub, re.MULTILINE))
    of_blocks = {p.stem for p in (ROOT / "blocks").glob("[!_]*.py") if "(Block)" in p.read_text(encoding="utf-8")}
    assert of_blocks <= named


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
