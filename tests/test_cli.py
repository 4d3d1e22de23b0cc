"""The `semstream` command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def semstream(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "semstream.cli", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def test_blocks_are_listed_with_their_port_types() -> None:
    result = semstream("blocks")
    assert result.returncode == 0
    for name in ("ImageSource", "SwinEncoder", "FadingChannel", "MetricSink"):
        assert name in result.stdout


def test_a_block_shows_its_ports_settings_units_and_defaults() -> None:
    result = semstream("blocks", "FadingChannel")
    assert result.returncode == 0
    for word in ("snr_db", "dB", "10.0", ">= -50", "yes", "complex64", "coherence"):
        assert word in result.stdout


def test_a_new_block_and_its_test_pass_as_they_are_written(tmp_path: Path) -> None:
    result = semstream("new-block", "FogBank", "--folder", str(tmp_path))
    assert result.returncode == 0, result.stderr
    for name in ("fog_bank.py", "test_fog_bank.py"):
        assert str(tmp_path / name) in result.stdout
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    lint = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    assert subprocess.run(lint, capture_output=True, timeout=100, check=False).returncode == 0
    again = semstream("new-block", "FogBank", "--folder", str(tmp_path))
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert semstream("new-block", "class").returncode == 2


@pytest.mark.parametrize("arguments", [("blocks", "Nothing"), ("run", "nothing.py"), ("run", "README.md")])
def test_what_is_not_there_is_one_line_and_exit_code_2(arguments: tuple[str, str]) -> None:
    result = semstream(*arguments)
    assert result.returncode == 2
    assert arguments[1] in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_run_gives_the_rest_of_the_line_to_the_flowgraph() -> None:
    result = semstream("run", str(ROOT / "flowgraphs" / "awgn_link.py"), "--help")
    assert result.returncode == 0
    assert "--scheme" in result.stdout


def test_shipped_weights_are_listed() -> None:
    result = semstream("weights")
    assert result.returncode == 0
    assert "swin-c32" in result.stdout
