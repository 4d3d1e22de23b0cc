"""What the README shows runs, and the commands and files that it names exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))
WORDS = {
    "wiring": " dB",
    "block": "20",
    "live": "8.00 bits a feature",
    "script": "3.000",
    "durable": "[0, 1, 3, 6, 10, 15, 21, 28, 36, 45]",
}


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_snippet_of_the_readme_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    script = tmp_path / f"{name}.py"
    script.write_text(SNIPPETS[name], encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "flowgraphs")}
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert WORDS[name] in result.stdout


def test_wiring_a_flowgraph_takes_no_more_than_fifteen_lines() -> None:
    assert len(SNIPPETS["wiring"].splitlines()) <= 15


def test_every_script_and_picture_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:flowgraphs|tools)/\w+\.py|semstream/\w+(?:/|\.py)|blocks/", TEXT))
    named |= set(re.findall(r"\]\(([^):]+)\)", TEXT))
    assert named
    for name in sorted(named):
        assert (ROOT / name).exists(), name


def test_the_numbers_of_the_readme_stand_in_the_page_of_results_or_a_card() -> None:
    part = re.sub(r"^    .*$|`[^`]*`", "", TEXT.partition("\n## Results")[2].partition("\n## ")[0], flags=re.MULTILINE)
    named = set(re.findall(r"\d+[.,]\d+", part))
    assert len(named) > 10
    pages = [ROOT / "RESULTS.md", *(ROOT / "semstream" / "weights").glob("*.md")]
    known = set(re.findall(r"\d+[.,]\d+", " ".join(page.read_text(encoding="utf-8") for page in pages)))
    assert not named - known, "numbers that only the README has: they will be forgotten when they change"


def test_the_drawing_in_the_readme_is_that_of_the_flowgraph_that_it_names() -> None:
    from semstream.commands.opening import open_flowgraph

    drawn = (ROOT / ".github" / "awgn_link.svg").read_text(encoding="utf-8")
    graph = open_flowgraph(ROOT / "flowgraphs" / "awgn_link.py")
    assert {name for name in graph.blocks if f">{name}</text>" not in drawn} == set()
    assert drawn.count("<polyline") == len(graph.edges)


def test_every_block_is_importable_from_blocks_and_documents_its_ports() -> None:
    import blocks

    for name in blocks.__all__:
        text = getattr(blocks, name).__doc__
        assert text
        assert "put" in text, f"{name} does not say what it takes or gives"
