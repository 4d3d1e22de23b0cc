"""Channel uses, energy and bits of one band: never more than there is, and near the best of all divisions."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from semstream.codec.checkpoint import load_profile
from semstream.sharing import RULES, Band, QualityCurve, Report, ReportError, SharingError, share
from semstream.sharing.curve import LEAST_BITS, WidthTable
from semstream.sharing.division import GRAINS
from semstream.sharing.report import WIDTHS

SITES = 64
PRICE = SITES // 2


@cache
def table() -> WidthTable:
    return WidthTable(load_profile("swin-c32")[0])


def report(snr_db: float = 10.0, scale: float = 0.2, seed: int = 0, sites: int = SITES, least: int = 0) -> Report:
    """Of a picture whose channels are stronger and weaker than the profile's."""
    profile = load_profile("swin-c32")[0]
    power = profile.variance * np.exp(np.random.default_rng(seed).normal(0, 0.5, profile.channels))
    power /= power.mean()
    distortion = power[:, None] * profile.distortion["lloyd_max"][:, :WIDTHS] / profile.variance[:, None]
    return Report(distortion.astype(np.float32), scale, sites, snr_db, np.zeros((0, 0, 3), np.float32), least)


def curve(**facts: float) -> QualityCurve:
    return QualityCurve(table(), report(**facts))  # type: ignore[arg-type]


USERS = st.lists(
    st.builds(curve, snr_db=st.floats(0, 20), scale=st.floats(0.05, 0.5), seed=st.integers(0, 50)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(USERS, st.integers(0, 40), st.floats(0.1, 4), st.floats(0, 16), st.sampled_from(RULES), st.integers(0, 99))
def test_no_division_gives_more_than_there_is_and_all_give_the_same(
    users: list[QualityCurve], channels: int, power: float, bits: float, rule: str, turn: int
) -> None:
    band = Band(channels * PRICE + 7, power, int(bits * channels * PRICE))
    shares = share(users, band, rule, turn)
    served = [s for s in shares if s.channels]
    assert sum(s.uses for s in shares) <= band.uses
    assert all(s.uses == s.channels * PRICE for s in shares)
    if served:
        assert sum(s.energy for s in shares) == pytest.approx(band.energy)
    if band.bits:
        assert sum(s.bits for s in shares) <= band.bits + 1e-6
        assert all(s.bits >= LEAST_BITS * s.channels * SITES - 1e-6 for s in served)
    else:
        equal = share(users, band, "equal", turn)
        assert sum(s.uses for s in shares) == sum(s.uses for s in equal) == min(channels, 32 * len(users)) * PRICE
        assert {i for i, s in enumerate(shares) if s.channels} == {i for i, s in enumerate(equal) if s.channels}


def best(users: list[QualityCurve], band: Band, goal: str) -> float:
    """Of every division of channels, and of energy in the same units."""
    count, total = len(users), band.uses // PRICE
    units = GRAINS * count
    ks = np.arange(1, min(total, 32) + 1)
    energies = np.arange(1, units) * band.energy / units
    tables = [np.array([user.psnr_db(np.full(units - 1, k), energies) for k in ks]) for user in users]
    found = -np.inf
    for split in itertools.product(ks, repeat=count - 1):
        last = total - sum(split)
        if not 1 <= last <= 32:
            continue
        rows = [tables[u][k - 1] for u, k in enumerate((*split, last))]
        if count == 2:
            quality = np.stack((rows[0], rows[1][::-1]))
        else:
            e = np.array([p for p in itertools.product(range(1, units), repeat=2) if sum(p) < units])
            quality = np.stack((rows[0][e[:, 0] - 1], rows[1][e[:, 1] - 1], rows[2][units - e.sum(axis=1) - 1]))
        value = quality.sum(axis=0) if goal == "max_sum" else quality.min(axis=0)
        found = max(found, float(value.max()))
    return found


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.05, 0.5), st.integers(0, 50)), min_size=2, max_size=3),
    st.integers(2, 6),
    st.sampled_from(["max_sum", "max_min"]),
)
def test_a_division_is_within_a_fifth_of_a_db_of_the_best_of_all(
    users: list[tuple[float, float, int]], channels: int, rule: str
) -> None:
    curves = [curve(snr_db=snr, scale=scale, seed=seed) for snr, scale, seed in users]
    band = Band(channels * len(curves) * PRICE)
    found = [s.psnr_db for s in share(curves, band, rule)]
    value = sum(found) if rule == "max_sum" else min(found)
    assert best(curves, band, rule) - value < 0.2


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(USERS.filter(lambda users: len(users) > 1), st.integers(2, 16), st.sampled_from([0.0, 8.0, 12.0]))
def test_each_rule_is_better_than_equal_division_at_what_it_is_for(
    users: list[QualityCurve], channels: int, bits: float
) -> None:
    uses = channels * len(users) * PRICE
    band = Band(uses, 1.0, int(bits * uses))
    found = {rule: np.array([s.psnr_db for s in share(users, band, rule)]) for rule in RULES}
    assert found["max_sum"].sum() >= found["equal"].sum() - 1e-6
    assert found["max_min"].min() >= found["equal"].min() - 1e-6
    assert (found["proportional"] - found["equal"]).min() >= -0.05


def test_a_user_in_a_bad_place_gets_more_by_one_rule_and_less_by_the_other() -> None:
    users, band = [curve(snr_db=1.0), curve(snr_db=19.0)], Band(20 * PRICE)
    fair, greedy = share(users, band, "max_min"), share(users, band, "max_sum")
    assert fair[0].energy > 10 * fair[1].energy
    assert greedy[0].energy < fair[0].energy
    assert greedy[0].psnr_db + 0.5 < fair[0].psnr_db
    assert fair[1].psnr_db - fair[0].psnr_db < 4  # 18 dB of SNR lie between them


def test_more_of_anything_is_never_expected_to_be_worse() -> None:
    user = curve()
    k = np.arange(1, 33)
    assert (np.diff(user.psnr_db(10, k * 40.0)) > 0).all()
    assert (np.diff(user.psnr_db(k, k * float(PRICE))) > 0).all()  # at the same power
    assert (np.diff(user.psnr_db(8, 300.0, 8 * SITES * np.arange(3.0, 8.1, 0.5))) >= 0).all()


def test_a_measurement_corrects_what_is_expected() -> None:
    plain = curve()
    counts, energies = [1, 8, 32], np.array([8.0, 80.0, 800.0])
    rows = []
    for k in counts:
        model = plain.expected(k, energies)
        rows.append(np.stack((np.full(3, k), model, model + k), axis=1))
    told = QualityCurve(table(), replace(plain.report, measured=np.array(rows, np.float32)))
    for k in counts:
        assert told.psnr_db(k, energies) == pytest.approx(plain.psnr_db(k, energies) + k, abs=1e-4)
    assert 1 < float((told.psnr_db(4, 80.0) - plain.psnr_db(4, 80.0))[0]) < 8


@pytest.mark.parametrize("rule", RULES)
def test_who_asks_for_more_than_there_is_gets_what_there_is(rule: str) -> None:
    users = [curve(least=10_000), curve(snr_db=5.0), curve(least=3 * PRICE)]
    shares = share(users, Band(12 * PRICE), rule)
    assert shares[0].channels == 8  # all but what the other asks for, and one channel of features of who asks for none
    assert shares[0].clipped == 10_000 - 8 * PRICE
    assert shares[1].channels == 1
    assert (shares[2].channels, shares[2].clipped) == (3, 0)
    granted = share([curve(least=5 * PRICE), *users[1:2]], Band(12 * PRICE), rule)
    assert granted[0].channels >= 5
    assert granted[0].clipped == 0


def test_users_who_all_ask_for_everything_are_levelled_and_not_served_in_turn() -> None:
    users = [curve(least=10_000), curve(least=10_000, snr_db=0.0), curve(least=4 * PRICE)]
    for turn in range(3):
        assert [s.channels for s in share(users, Band(12 * PRICE), "max_sum", turn)] == [4, 4, 4]


@pytest.mark.parametrize("bits", [0, 4, 8, 16])
def test_an_ask_wastes_nothing_of_the_band_under_equal_division(bits: int) -> None:
    users = [curve(least=10_000), curve(snr_db=5.0)]
    shares = share(users, Band(24 * PRICE, 1.0, bits * 24 * PRICE), "equal")
    room = min(24, bits * 24 * PRICE // users[0].bits_of_one) if bits else 24
    assert [s.channels for s in shares] == [room - 1, 1]


def test_a_band_without_room_for_everybody_goes_round() -> None:
    users = [curve(seed=i) for i in range(4)]
    served = [[s.channels for s in share(users, Band(3 * PRICE), "max_sum", turn)] for turn in range(4)]
    assert sorted(served) == sorted([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]])
    assert [s.uses for s in share(users, Band(PRICE - 1))] == [0] * 4
    assert share([], Band(100)) == []


def test_pictures_of_other_sizes_share_a_band() -> None:
    users = [curve(), curve(sites=144), curve(sites=24)]
    for rule in RULES:
        shares = share(users, Band(1000), rule)
        assert [s.uses for s in shares] == [s.channels * p for s, p in zip(shares, (32, 72, 12), strict=True)]
        assert 1000 - 12 < sum(s.uses for s in shares) <= 1000


def test_what_cannot_be_divided_says_why() -> None:
    with pytest.raises(SharingError, match="max_min"):
        share([], Band(1), "fairest")
    with pytest.raises(SharingError, match="power > 0"):
        share([], Band(1, 0.0))


def test_a_report_survives_its_frame_and_a_false_one_is_refused() -> None:
    told = report(least=5)
    again = Report.from_frame(told.to_arrays(), told.to_tags(), 32)
    assert again.to_tags() == told.to_tags()
    assert (again.distortion == told.distortion).all()
    for name, wrong in (("scale", -1.0), ("sites", 0), ("report_snr_db", float("nan")), ("least_uses", "many")):
        with pytest.raises(ReportError, match=name.removeprefix("report_").partition("_")[0]):
            Report.from_frame(told.to_arrays(), told.to_tags() | {name: wrong}, 32)
    with pytest.raises(ReportError, match="distortion"):
        Report.from_frame(
            told.to_arrays() | {"distortion": np.full((32, WIDTHS), np.nan, np.float32)}, told.to_tags(), 32
        )
    with pytest.raises(ReportError, match="growing"):
        Report.from_frame(told.to_arrays() | {"measured": np.ones((2, 1, 3), np.float32)}, told.to_tags(), 32)
