"""Several users on one band, block by block: reports, shares, grants, symbols; users that come, go and ask too much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from blocks import (
    BandGrant,
    BandReport,
    BandScheduler,
    ContributionClassifier,
    NonUniformQuantizer,
    PowerNormalizer,
    SnrSweep,
    SwinEncoder,
)
from semstream.monitor.page.band import band_of
from semstream.runtime import Block, Flowgraph, FlowgraphError, Frame, In, Out, SettingsError, setting
from semstream.testing import Harness, harness_of, run_block

PRICE = 32  # 64 sites a picture of 32×32


@pytest.fixture(scope="module")
def sent(weights: Path, pictures: np.ndarray) -> tuple[list[Frame], list[Frame]]:
    """Pictures and their classified features."""
    images = run_block(SnrSweep(snr_db=[7.0]), [Frame({"image": p}, seq=i) for i, p in enumerate(pictures[:4])])
    features = run_block(SwinEncoder(weights=str(weights)), images)
    return images, run_block(ContributionClassifier(weights=str(weights)), features)


def reports(weights: Path, sent: tuple[list[Frame], list[Frame]], **settings: object) -> list[Frame]:
    block = BandReport(weights=str(weights), **settings)
    found: list[Frame] = run_block(block, {"image": sent[0], "classified": sent[1]})
    return found


def test_a_report_holds_what_was_measured_with_the_users_own_decoder(
    weights: Path, sent: tuple[list[Frame], list[Frame]]
) -> None:
    first, second, *_ = reports(weights, sent, measure=2)
    measured = first["measured"]
    assert measured.shape[1:] == (4, 3)
    assert (np.diff(measured[:, :, 2], axis=1) > -0.5).all(), "less noise, better pictures"
    assert measured[-1, -1, 2] > measured[0, 0, 2] + 5
    assert (second["measured"] == measured).all()
    assert first.tags["report_snr_db"] == 7.0
    assert np.array(first["distortion"][:, 0]) == pytest.approx(
        np.square(sent[1][0]["features"]).mean(axis=(0, 1)), rel=1e-5
    )
    assert reports(weights, sent, measure=0)[0]["measured"].size == 0


def test_what_two_users_send_together_is_the_band_and_its_energy(
    weights: Path, sent: tuple[list[Frame], list[Frame]]
) -> None:
    told = {f"user_{u}": reports(weights, sent, measure=0) for u in (1, 3)}
    for rule in ("equal", "max_min", "proportional", "max_sum"):
        scheduler = BandScheduler(
            weights=str(weights), rule=rule, uses=[8 * PRICE, 5 * PRICE], hold=2, power=2.0, bits=10
        )
        grants = run_block(scheduler, told)
        totals = np.zeros((4, 2))
        for u in (1, 3):
            frames = run_block(BandGrant(weights=str(weights), user=u), {"grants": grants, "classified": sent[1]})
            frames = run_block(NonUniformQuantizer(weights=str(weights)), frames)
            for frame in run_block(PowerNormalizer(weights=str(weights)), frames):
                totals[frame.seq] += frame["symbols"].size, np.square(np.abs(frame["symbols"])).sum()
                assert frame.tags["channel_uses"] == frame["symbols"].size
        assert totals[:, 0].tolist() == [8 * PRICE] * 2 + [5 * PRICE] * 2
        assert totals[:, 1] == pytest.approx(2 * totals[:, 0], rel=2e-3)
        record = harness_of(scheduler).records[0]
        assert record["users"] == [1, 3]
        assert sum(record["energy"]) == pytest.approx(record["band_energy"])


def test_users_leave_and_join_by_their_schedule_and_by_hand(
    weights: Path, sent: tuple[list[Frame], list[Frame]], caplog: pytest.LogCaptureFixture
) -> None:
    told = {
        "user_1": reports(weights, sent, measure=0),
        "user_2": reports(weights, sent, measure=0, toggles=[1, 3]),
    }
    scheduler = BandScheduler(weights=str(weights), rule="equal", uses=[8 * PRICE])
    with caplog.at_level(logging.INFO, "semstream"):
        grants = run_block(scheduler, told)
    assert [g["grants"][:, 0].tolist() for g in grants] == [[4, 4], [8, 0], [8, 0], [4, 4]]
    assert [r["uses"] for r in harness_of(scheduler).records][1] == [8 * PRICE, None]
    assert caplog.text.count("user 2 has left") == 1
    assert caplog.text.count("user 2 has joined") == 2
    granted = BandGrant(weights=str(weights), user=2)
    assert len(run_block(granted, {"grants": grants, "classified": sent[1]})) == 2
    assert harness_of(granted).skips == ["no_share", "no_share"]

    by_hand = Harness(BandReport(weights=str(weights), measure=0))
    by_hand.give(image=sent[0][0], classified=sent[1][0])
    by_hand.set(present=False)
    by_hand.give(image=sent[0][1], classified=sent[1][1])
    assert [f.tags["present"] for f in by_hand.outputs["report"]] == [True, False]


def test_a_user_that_asks_for_too_much_is_clipped_told_of_once_and_counted(
    weights: Path, sent: tuple[list[Frame], list[Frame]], caplog: pytest.LogCaptureFixture
) -> None:
    told = {
        "user_1": reports(weights, sent, measure=0, least_uses=10_000),
        "user_2": reports(weights, sent, measure=0),
    }
    scheduler = BandScheduler(weights=str(weights), uses=[8 * PRICE])
    with caplog.at_level(logging.WARNING, "semstream"):
        run_block(scheduler, told)
    assert caplog.text.count("asks for 10000 channel uses a frame, and there are 224") == 1
    assert [r["clipped"] for r in harness_of(scheduler).records] == [[10_000 - 7 * PRICE, 0]] * 4
    (shown,) = harness_of(scheduler).shown.values()
    page = band_of({"shown": {"fair": {"band": shown}, "other": {}}})
    assert "224 (clipped)" in page
    assert "2 of 2 users share 256" in page
    assert "&lt;b&gt;" in band_of({"shown": {"<b>": {"band": shown | {"uses": [None, 256]}}}})
    assert band_of({"shown": {}}) == ""


def test_a_report_that_cannot_be_true_counts_as_away(
    weights: Path, sent: tuple[list[Frame], list[Frame]], caplog: pytest.LogCaptureFixture
) -> None:
    good = reports(weights, sent, measure=0)
    bad = [f.replace(tags={"scale": -1.0}) for f in good]
    with caplog.at_level(logging.WARNING, "semstream"):
        grants = run_block(BandScheduler(weights=str(weights), uses=[8 * PRICE]), {"user_1": good, "user_2": bad})
    assert [g["grants"][:, 0].tolist() for g in grants] == [[8, 0]] * 4
    assert "report 'scale': expected a positive number" in caplog.text


def test_a_band_of_no_channel_uses_serves_nobody_and_goes_on(
    weights: Path, sent: tuple[list[Frame], list[Frame]]
) -> None:
    grants = run_block(
        BandScheduler(weights=str(weights), uses=[0, 8 * PRICE], hold=1), {"user_1": reports(weights, sent, measure=0)}
    )
    assert [g["grants"][0, 0] for g in grants] == [0, 8, 0, 8]
    with pytest.raises(SettingsError, match="channel uses"):
        BandScheduler(uses=[])


class Reports(Block):
    """Gives one report again and again, and notes how many it has given."""

    report = Out(BandReport.report.type)
    given: list[str] = []

    class Settings(Block.Settings):
        every_s: float = setting(0.0, ge=0, unit="s", description="time of the user's encoder")

    def frames(self) -> Iterator[Frame]:
        told = {"scale": 1.0, "sites": 64, "report_snr_db": 7.0, "least_uses": 0, "present": True}
        for _ in range(30):
            self.pause(self.settings.every_s)
            self.given.append(self.name)
            yield Frame(
                {"distortion": np.ones((32, 9), np.float32), "measured": np.zeros((0, 0, 3), np.float32)}, tags=told
            )


def test_a_fast_user_is_few_frames_ahead_so_that_who_leaves_by_hand_is_away_at_once() -> None:
    Reports.given = given = []
    graph = Flowgraph(credit=1)
    scheduler = BandScheduler(uses=[8 * PRICE])
    for name, user in (("slow", 1), ("fast", 2)):
        graph.connect(Reports(name=name, every_s=0.01 * (user == 1)), scheduler.port(f"user_{user}"))
    graph.connect(scheduler, Taker())
    run = graph.run()
    assert len(run.records["band_scheduler"]) == 30
    ahead = [given[: i + 1].count("fast") - given[: i + 1].count("slow") for i in range(len(given))]
    assert 0 < max(ahead) <= 5


class Taker(Block):
    """Takes grants."""

    grants = In(BandScheduler.grants.type)

    def process(self, frame: Frame) -> None:
        pass


class Pair(Block):
    """Takes one or two numbers."""

    first = In(BandReport.report.type)
    second = In(BandReport.report.type, optional=True)

    def process(self, **frames: Frame) -> None:
        self.publish({"ports": sorted(frames)})


def test_an_optional_input_may_be_left_alone_and_another_may_not() -> None:
    graph = Flowgraph()
    graph.add(Pair())
    assert [str(port.name) for port in graph.unconnected()] == ["first"]
    graph = Flowgraph()
    graph.add(BandScheduler())
    with pytest.raises(FlowgraphError, match="user_1"):
        graph.validate()
    frame = Frame({"distortion": np.ones((8, 9), np.float32), "measured": np.zeros((0, 0, 3), np.float32)})
    block = Pair()
    run_block(block, {"first": [frame]})
    assert harness_of(block).records == [{"ports": ["first"]}]
