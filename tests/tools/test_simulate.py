"""Simulation: the same link as the flowgraphs', without their runtime; what it takes and what quality it gives."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image
from radio import needs_radio

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from blocks import (  # noqa: E402
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    QamDemodulator,
    QamModulator,
    SnrSweep,
    SwinDecoder,
    SwinEncoder,
)
from semstream.codec.qam_design import filling  # noqa: E402
from semstream.runtime import Flowgraph  # noqa: E402
from tools.evaluation import baselines  # noqa: E402
from tools.evaluation.case import Case, CaseError, make_cases  # noqa: E402
from tools.evaluation.pictures import Batch, open_pictures  # noqa: E402
from tools.evaluation.simulate import Simulator  # noqa: E402
from tools.evaluation.table import describe, losses  # noqa: E402


@pytest.mark.parametrize("channel", ["awgn", "rayleigh", "composite"])
def test_a_simulated_picture_is_the_one_that_a_flowgraph_receives(
    simulator: Simulator, weights: Path, folder: Path, channel: str
) -> None:
    graph = Flowgraph("link", seed=3)
    name = str(weights)
    source, sink = ImageSource(source=str(folder)), MetricSink(lpips="off")
    chain = [SnrSweep(snr_db=[7.0]), SwinEncoder(weights=name, precision="fp32"), ContributionClassifier(weights=name)]
    graph.connect(
        source, *chain, NonUniformQuantizer(weights=name, bits=3), PowerNormalizer(weights=name),
        FadingChannel(channel=channel, noise_key="air"), Dequantizer(weights=name),
        SwinDecoder(weights=name, precision="fp32"), sink.reconstruction,
    )  # fmt: skip
    graph.connect(source, sink.reference)
    records = graph.run(timeout=60).records[sink.name]
    pictures = open_pictures(folder)
    case = Case(channel, 7.0, "optimal", 3.0, "lloyd_max", "sensitivity", 0, "linear")
    outcomes = [o for batch in pictures.batches for o in simulator.simulate(batch, case)]
    assert len(outcomes) == len(records) == 4
    for outcome, record in zip(outcomes, records, strict=True):
        assert outcome.psnr_db == pytest.approx(record["psnr_db"], abs=0.02)
        assert outcome.payload_bits / outcome.features == record["bits_per_feature"]
        assert outcome.side_bits / outcome.features == record["side_bits_per_feature"]
        assert outcome.channel_uses == record["channel_uses"]


def test_a_simulated_picture_with_copies_is_the_one_that_a_flowgraph_receives(
    simulator: Simulator, weights: Path, folder: Path
) -> None:
    graph, name = Flowgraph("link", seed=3), str(weights)
    source, sink = ImageSource(source=str(folder)), MetricSink(lpips="off")
    graph.connect(
        source, SnrSweep(snr_db=[13.0]), SwinEncoder(weights=name, precision="fp32"),
        ContributionClassifier(weights=name), NonUniformQuantizer(weights=name, bits=6),
        PowerNormalizer(weights=name, dimensions=12), FadingChannel(noise_key="air"), Dequantizer(weights=name),
        SwinDecoder(weights=name, precision="fp32"), sink.reconstruction,
    )  # fmt: skip
    graph.connect(source, sink.reference)
    records = graph.run(timeout=60).records[sink.name]
    (case,) = make_cases(["awgn"], [13.0], ["optimal"], [6], cbrs=[12 / 96], copies=["folded"])
    outcomes = [o for batch in open_pictures(folder).batches for o in simulator.simulate(batch, case)]
    for outcome, record in zip(outcomes, records, strict=True):
        assert outcome.psnr_db == pytest.approx(record["psnr_db"], abs=0.02)
        assert outcome.channel_uses == record["channel_uses"]


@needs_radio
def test_a_simulated_picture_over_qam_is_the_one_that_a_flowgraph_receives(
    simulator: Simulator, weights: Path, tmp_path: Path
) -> None:
    for i, picture in enumerate(smooth_pictures(3, 64, seed=9)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    name = str(weights)
    graph = Flowgraph("link", seed=3)
    source, sink = ImageSource(source=str(tmp_path)), MetricSink(lpips="off")
    form, bits = filling("unequal", 7.0, (64, 64), name)
    graph.connect(
        source, SwinEncoder(weights=name, precision="fp32"), ContributionClassifier(weights=name),
        NonUniformQuantizer(weights=name, bits=bits), QamModulator(weights=name, **form.settings()),
        FadingChannel(snr_db=7.0, noise_key="air"), QamDemodulator(weights=name),
        SwinDecoder(weights=name, precision="fp32"), sink.reconstruction,
    )  # fmt: skip
    graph.connect(source, sink.reference)
    records = graph.run(timeout=60).records[sink.name]
    (case,) = make_cases(["awgn"], [7.0], ["optimal"], modulations=["qam-unequal"])
    outcomes = [o for batch in open_pictures(tmp_path).batches for o in simulator.simulate(batch, case)]
    for outcome, record in zip(outcomes, records, strict=True):
        assert outcome.psnr_db == pytest.approx(record["psnr_db"], abs=0.02)
        assert outcome.payload_bits / outcome.features == record["bits_per_feature"]
        assert outcome.side_bits / outcome.features == record["side_bits_per_feature"]
        assert outcome.channel_uses == record["channel_uses"]


def test_quality_rises_with_the_bandwidth_that_is_filled(simulator: Simulator) -> None:
    batch = Batch(0, smooth_pictures(6, 32))
    for scheme in ("none", "optimal"):
        quality = []
        for cbr in (1 / 48, 1 / 24, 1 / 12, 1 / 8):  # 2, 4, 8 and 12 dimensions for 8 channels
            copies = ["folded"] if cbr > 1 / 12 else ["none"]
            (case,) = make_cases(["awgn"], [13.0], [scheme], [8], cbrs=[cbr], copies=copies)
            outcomes = simulator.simulate(batch, case)
            assert {o.channel_uses for o in outcomes} == {round(cbr * 3072)}
            quality.append(np.mean([o.psnr_db for o in outcomes]))
        assert quality == sorted(quality)
        (all_channels,) = make_cases(["awgn"], [13.0], [scheme], [8])
        whole = np.mean([o.psnr_db for o in simulator.simulate(batch, all_channels)])
        assert whole == pytest.approx(quality[2], abs=0.05)


def test_bandwidths_that_cannot_be_filled_say_so(simulator: Simulator) -> None:
    batch = Batch(0, smooth_pictures(1, 32))
    for cbr, copies, words in ((1 / 8, "none", "--copies"), (1 / 5, "folded", "1 to 16"), (1e-3, "none", "less than")):
        (case,) = make_cases(["awgn"], [7.0], ["none"], cbrs=[cbr], copies=[copies])
        with pytest.raises(CaseError, match=words):
            simulator.simulate(batch, case)
    with pytest.raises(CaseError, match="optimal"):
        simulator.simulate(batch, make_cases(["awgn"], [7.0], ["uniform"], [4], cbrs=[1 / 24])[0])
    for wrong in (
        {"cbrs": [9.0]},
        {"cbrs": [0.1], "modulations": ["capacity"]},
        {"cbrs": [0.1], "baselines": ["linear"]},
    ):
        with pytest.raises(CaseError, match="--cbr"):
            make_cases(["awgn"], [7.0], ["optimal"], **wrong)
    assert [c.copies for c in make_cases(["awgn"], [7.0], ["none"], copies=["none", "folded"])] == [""]


def test_a_result_does_not_depend_on_batches_or_other_cases(simulator: Simulator) -> None:
    pictures = smooth_pictures(4, 32, seed=5)
    case = Case("rayleigh", 4.0, "uniform", 2.0, "lloyd_max", "", 0, "hard")
    together = simulator.simulate(Batch(0, pictures), case)
    alone = [simulator.simulate(Batch(i, pictures[i : i + 1]), case)[0] for i in range(4)]
    assert [o.psnr_db for o in together] == pytest.approx([o.psnr_db for o in alone], abs=1e-3)


def test_estimated_and_perfect_csi_meet_the_same_channel_and_their_difference_is_told(simulator: Simulator) -> None:
    cases = make_cases(["rayleigh"], [10.0], ["none"], csi=["perfect", "estimated"], coherence="128")
    assert [(c.csi, c.pilots) for c in cases] == [("perfect", 0.1), ("estimated", 0.1)]
    batch = Batch(0, smooth_pictures(4, 64))
    perfect, estimated = (simulator.simulate(batch, case) for case in cases)
    assert [o.channel_uses for o in perfect] == [o.channel_uses for o in estimated]
    lost = np.mean([p.psnr_db - e.psnr_db for p, e in zip(perfect, estimated, strict=True)])
    assert 0 < lost < 3
    rows = [describe(c, "some", 4, "tiny", 0) | {"psnr_db": q} for c, q in zip(cases, (30.0, 29.25), strict=True)]
    assert losses(rows).splitlines()[-1].split()[-1] == "0.75"
    assert losses(rows[:1]) == ""
    with pytest.raises(CaseError, match="coherence"):
        simulator.simulate(batch, make_cases(["rayleigh"], [10.0], ["none"], csi=["estimated"])[0])
    with pytest.raises(CaseError, match="--coherence"):
        make_cases(["rayleigh"], [10.0], ["none"], coherence="long")
    with pytest.raises(CaseError, match="leave --csi"):
        make_cases(["rayleigh"], [10.0], ["optimal"], modulations=["qam-ldpc"], csi=["estimated"])


def test_the_linear_code_needs_no_training_and_falls_with_noise(simulator: Simulator) -> None:
    linear = baselines.linear_simulator(simulator)
    batch = Batch(0, smooth_pictures(4, 32))
    quality = [
        np.mean([o.psnr_db for o in linear.simulate(batch, Case("awgn", snr, "none"))]) for snr in (0.0, 10.0, math.inf)
    ]
    assert quality[0] + 3 < quality[1] < quality[2]


@needs_radio
def test_bits_fill_the_channel_uses_of_amplitudes_and_fall_where_amplitudes_slope(simulator: Simulator) -> None:
    batch = Batch(0, smooth_pictures(6, 64))

    def measured(modulation: str, snr_db: float, design_snr_db: float | None = None) -> tuple[float, float]:
        (case,) = make_cases(["awgn"], [snr_db], ["optimal"], modulations=[modulation], design_snr_db=design_snr_db)
        outcomes = simulator.simulate(batch, case)
        return float(np.mean([o.psnr_db for o in outcomes])), float(np.mean([o.channel_uses for o in outcomes]))

    uses = measured("pam", 7.0)[1]
    quality = {}
    for name in ("qam-uncoded", "qam-power", "qam-unequal", "qam-ldpc", "capacity"):
        quality[name], taken = measured(name, 7.0)
        assert 0.6 * uses < taken <= uses
    assert quality["capacity"] > quality["qam-ldpc"] > quality["qam-uncoded"] + 1
    assert quality["qam-unequal"] > quality["qam-uncoded"] + 1
    cliff = [measured("qam-ldpc", snr, 7.0)[0] for snr in (4.0, 7.0, 13.0)]
    assert cliff[1] - cliff[0] > 3
    assert abs(cliff[2] - cliff[1]) < 0.3
