"""The link on three hosts, as the README shows it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_flowgraphs import ROOT, read_records, without_times

from semstream.runtime import Flowgraph

BLOCK = re.search(r"<!-- test: hosts -->\n((?:    .+\n)+)", (ROOT / "README.md").read_text(encoding="utf-8"))
SHORT = [
    "--set", "source.frames=6", "--set", "source.repeat=2", "--set", "sweep.hold=2", "--set", "source.size=32",
]  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Ports that are free, and the next ones most likely too."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def begin(line: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A command of ours as the README has it, begun in a folder that has the flowgraphs."""
    words = line.split()
    assert words[0] == "semstream"
    command = [sys.executable, "-m", "semstream.cli", *words[1:], *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_readmes_commands_send_pictures_over_three_hosts_as_one_machine_would(tmp_path: Path) -> None:
    assert BLOCK is not None
    keygen, *runs = BLOCK[1].strip().splitlines()
    (tmp_path / "flowgraphs").symlink_to(ROOT / "flowgraphs")
    assert begin(keygen, tmp_path).wait(60) == 0
    ports = zip(("tx", "channel", "rx"), free_ports(3), strict=True)
    moved = [word for host, port in ports for word in ("--address", f"{host}=127.0.0.1:{port}")]
    hosts = [begin(line, tmp_path, *SHORT, *moved, *(["--out", "far"] if "--only rx" in line else [])) for line in runs]
    whole = begin("semstream run flowgraphs/three_hosts.yaml", tmp_path, *SHORT, "--out", "near")
    for command in (*hosts, whole):
        text, _ = command.communicate(timeout=100)
        assert command.returncode == 0, text
    far, near = (without_times(read_records(tmp_path / out)) for out in ("far", "near"))
    assert len(far) == 6
    assert far == near


def test_the_script_and_the_file_have_the_same_hosts_and_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "flowgraphs"))
    from three_hosts import flowgraph

    script, file = flowgraph(), Flowgraph.load(ROOT / "flowgraphs" / "three_hosts.yaml")
    for host in ("tx", "channel", "rx"):
        ours, theirs = script.only(host), file.only(host)
        assert [type(block) for block in ours.blocks.values()] == [type(block) for block in theirs.blocks.values()]
        assert [edge.endpoint for edge in ours.edges] == [edge.endpoint for edge in theirs.edges]
        assert sum(bool(edge.endpoint) for edge in ours.edges) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nobody"], "flowgraph 'three_hosts' has no host 'nobody'; there are: tx, channel, rx"),
        (["--only", "tx", "--address", "rx=nowhere"], "host 'rx': expected an address HOST:PORT, got 'nowhere'"),
        (
            ["--only", "tx", "--address", "ry=127.0.0.1:5"],
            "--address ry=127.0.0.1:5: expected HOST=ADDRESS:PORT with a",
        ),
        (["--only", "tx", "--keys", "nothing"], "CURVE keys nothing/tx.key_secret: no such file; semstream keygen tx"),
    ],
)
def test_what_is_wrong_with_a_host_on_the_command_line_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    from semstream import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["semstream", "run", str(ROOT / "flowgraphs" / "three_hosts.yaml"), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    text = capsys.readouterr().err
    assert ended.value.code == 2
    assert words in text
    assert len(text.strip().splitlines()) == 1
