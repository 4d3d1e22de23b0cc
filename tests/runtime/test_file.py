"""Flowgraphs in files: a round trip, everything that is wrong at once with its line, the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from codec_fixtures import smooth_pictures
from PIL import Image

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SwinDecoder,
    SwinEncoder,
)
from semstream.runtime import CurveKeys, Flowgraph, FlowgraphFileError, SettingsError
from semstream.runtime.files.classes import library
from semstream.runtime.files.json_schema import as_text
from semstream.runtime.files.overrides import override
from semstream.runtime.files.reading import read
from semstream.runtime.files.yaml_text import parse

ROOT = Path(__file__).resolve().parents[2]


def link(weights: Path, pictures: Path) -> Flowgraph:
    graph = Flowgraph("link", seed=11)
    name = str(weights)
    source, sink = ImageSource(source=str(pictures)), MetricSink(name="metrics", lpips="off")
    decoder = graph.add(SwinDecoder(weights=name), replicas=2)
    graph.connect(
        source, SwinEncoder(weights=name), ContributionClassifier(weights=name),
        NonUniformQuantizer(weights=name, bits=3), PowerNormalizer(weights=name),
        FadingChannel(channel="rayleigh", snr_db=float("inf")), Dequantizer(weights=name), decoder,
        sink.reconstruction, credit=3,
    )  # fmt: skip
    graph.connect(source, sink.reference, policy="block", depth=8)
    return graph


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, picture in enumerate(smooth_pictures(3)):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


def test_a_graph_comes_back_from_its_file_and_gives_the_same_records(
    weights: Path, pictures: Path, tmp_path: Path
) -> None:
    graph = link(weights, pictures)
    graph.save(tmp_path / "link.yaml")
    again = Flowgraph.load(tmp_path / "link.yaml")
    assert (again.name, again.seed, again.replicas, again.processes) == (
        graph.name, graph.seed, graph.replicas, graph.processes
    )  # fmt: skip
    assert {n: (type(b), b.settings) for n, b in again.blocks.items()} == {
        n: (type(b), b.settings) for n, b in graph.blocks.items()
    }
    described = [{(e.name, e.policy, e.credit, e.depth) for e in g.edges} for g in (graph, again)]
    assert described[0] == described[1]
    again.save(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == (tmp_path / "link.yaml").read_text()
    records = [
        [{k: v for k, v in r.items() if k not in ("latency_ms", "completed_ns")} for r in g.run().records["metrics"]]
        for g in (graph, again)
    ]
    assert records[0] == records[1]
    assert len(records[0]) == 3


def test_an_edge_to_another_host_keeps_its_keys_out_of_the_file(weights: Path, tmp_path: Path) -> None:
    graph = Flowgraph("far")
    peer = CurveKeys.generate()
    keys = CurveKeys.generate(clients=(peer.public,))
    graph.connect(ImageSource(), encoder := SwinEncoder(weights=str(weights)))
    graph.listen(encoder, "tcp://0.0.0.0:5999", curve=keys)
    graph.save(tmp_path / "far.yaml")
    assert keys.secret not in (tmp_path / "far.yaml").read_text()
    again = Flowgraph.load(tmp_path / "far.yaml")
    (edge,) = [e for e in again.edges if e.endpoint]
    assert edge.curve == keys


BROKEN = """semstream: 1
name: broken
blocks:
  source: {class: ImageSource, settings: {frames: many}}
  encoder: {class: SwinEncoder, settings: {colour: blue}}
  nobody: {class: NoSuchBlock}
  decoder: {class: SwinDecoder}
  a: {class: Throttle}
  sink: {class: MetricSink}
edges:
  - source -> encoder -> decoder
  - encoder -> sink.reference
  - a -> a
speed: 9
"""


def test_everything_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    with pytest.raises(FlowgraphFileError) as caught:
        Flowgraph.load(path)
    lines = str(caught.value).splitlines()
    for line, words in (
        (4, "frames"), (5, "colour"), (6, "NoSuchBlock"), (12, "reference"), (13, "a"), (14, "speed"),
    ):  # fmt: skip
        assert any(entry.startswith(f"{path}:{line}:") and words in entry for entry in lines), (line, words, lines)
    assert any("reconstruction" in entry and "not connected" in entry for entry in lines), lines


@pytest.mark.parametrize(
    "text", ["", "just words", "- 1\n- 2\n", "a: [1, 2\n", "semstream: 99\n", "x: !!python/object/apply:os.getcwd []\n",
             "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n", "\x00\x01\x02"]
)  # fmt: skip
def test_what_is_no_flowgraph_is_refused_in_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    path.write_text(text)
    with pytest.raises(FlowgraphFileError) as caught:
        Flowgraph.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("path", sorted((ROOT / "flowgraphs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_flowgraphs_that_come_with_semstream_are_whole(path: Path) -> None:
    graph = Flowgraph.load(path)
    graph.validate()
    assert graph.edges


def test_settings_are_overridden_by_name_and_refused_with_the_range(weights: Path, pictures: Path) -> None:
    graph = link(weights, pictures)
    override(graph, ["fading_channel.snr_db=7.5", "fading_channel.channel=awgn", "image_source.frames=2"])
    settings = graph.blocks["fading_channel"].settings
    assert (settings.snr_db, settings.channel) == (7.5, "awgn")
    assert graph.blocks["image_source"].settings.frames == 2
    for wrong, words in (
        ("fading_channel.snr_db=-80", "-50"), ("nobody.x=1", "nobody"), ("fading_channel.sn=1", "sn"),
        ("fading_channel", "="),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=words):
            override(graph, [wrong])


def test_the_published_schema_is_current_and_takes_the_shipped_files() -> None:
    text = (ROOT / "semstream" / "runtime" / "flowgraph.schema.json").read_text(encoding="utf-8")
    assert text == as_text(library())
    assert json.loads(text)["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0o" + "7" * 5000, "1" * 5000])
def test_a_number_that_python_would_not_print_is_a_finding(number: str) -> None:
    text = f"blocks:\n  a: {{class: ImageSource, settings: {{frames: {number}}}}}\n".encode()
    findings = read(text, Path(), Flowgraph)[1]
    assert any("frames" in f.message and f.line == 2 for f in findings)
    assert all(len(f.message) < 500 for f in findings)


@pytest.mark.parametrize("text", [b"- a\n" * 120_000, b"[" + b"a," * 120_000 + b"]"])
def test_a_file_of_far_too_many_values_is_refused_before_it_is_read_to_its_end(text: bytes) -> None:
    (finding,) = parse(text).findings
    assert "more than 50000 values" in finding.message
    assert finding.line > 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab; indent with spaces"),
        ("a:\n\tb: 2\n", 2, "a tab; indent with spaces"),
        ("a: 1\nb: *c\n", 2, "undefined alias 'c'"),
        ("a: &x 1\nb: 2\nc: &x 3\n", 3, "duplicate anchor 'x'; it stands in line 1"),
        ("a: 1\n---\nb: 2\n", 2, "one document"),
        ("a: 1\nb: [1, 2\n", 2, "not YAML"),
        ("a: [1, 2", 1, "not YAML"),
        ("a: 1\nb: !!python/name:os.system x\n", 2, "tag 'python/name:os.system' is not allowed"),
        ("a: &x [*x]\n", 1, "alias inside its own anchor"),
        ("a: 1\nb: " + "[" * 40 + "]" * 40, 2, "nested more than 32 deep"),
    ],
)
@pytest.mark.parametrize("libyaml", [True, False])
def test_what_is_no_yaml_is_found_in_its_line_with_libyaml_and_without(
    text: str, line: int, words: str, libyaml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not libyaml:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    parsed = parse(text.encode())
    (finding,) = parsed.findings[:1]
    assert words in finding.message
    assert abs(finding.line - line) <= (0 if "not YAML" not in words else 1)  # where a list that never ends should have


def test_libyaml_and_pyyaml_read_the_same_values_in_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [path.read_bytes() for path in sorted((ROOT / "flowgraphs").glob("*.yaml"))]
    texts.append(b"a: &x [1, 'on']\nb: *x\nc: |\n  two\n  lines\n? d\n: [off, 1e-3, .inf, ~, 0x1F]\n'e': >\n  folded\n")
    assert not any(parse(text).findings for text in texts)
    found = [parse(text) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert [parse(text) for text in texts] == found
    assert len(found) > 3
