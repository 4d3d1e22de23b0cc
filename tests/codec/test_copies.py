"""Copies of the most important features: planned from the profile, put and taken, told to the receiver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semstream.codec.copies import (
    KINDS,
    Copies,
    CopiesError,
    CopyPlans,
    channels_to_send,
    plan_copies,
    put_copies,
    take_copies,
)
from semstream.codec.profile import Profile


def mask(profile: Profile, count: int) -> np.ndarray:
    return np.isin(
        np.arange(profile.channels), np.argsort(-profile.importance() * profile.variance, kind="stable")[:count]
    )


@given(count=st.integers(1, 8), more=st.integers(0, 8), snr_db=st.floats(-5, 40))
@settings(max_examples=60)
def test_what_is_put_is_taken_for_any_plan(profile: Profile, count: int, more: int, snr_db: float) -> None:
    sent, dimensions = mask(profile, count), count + min(more, count)
    copies = plan_copies(profile, sent, dimensions, 10 ** (-snr_db / 10))
    assert len(copies) == dimensions - count
    assert sent[copies.channels].all()
    values = np.random.default_rng(0).standard_normal((5, count)).astype(np.float32) * profile.variance[sent] ** 0.5
    put = put_copies(values.reshape(-1), sent, copies)
    assert put.size == 5 * dimensions
    got, noise = take_copies(put, np.full(put.size, 1e-9, np.float32), sent, copies, profile)
    np.testing.assert_allclose(got, values.reshape(-1), atol=1e-3)
    assert (noise <= 1.001e-9).all()


def test_copies_leave_less_distortion_than_the_same_power_without_them(profile: Profile) -> None:
    sent, count = mask(profile, 6), 6
    random = np.random.default_rng(1)
    weight = profile.contribution["sensitivity"][sent]
    power = profile.variance[sent]
    values = (random.standard_normal((4000, count)) * power**0.5).astype(np.float32)

    def left(copies: Copies, snr_db: float) -> float:
        put = put_copies(values.reshape(-1), sent, copies)
        noise = 10 ** (-snr_db / 10) * float(np.square(put).sum()) / (4000 * 9)
        heard = put + np.float32(noise**0.5) * random.standard_normal(put.size).astype(np.float32)
        got, variance = take_copies(heard, np.full(put.size, noise, np.float32), sent, copies, profile)
        estimate = got.reshape(-1, count) * power / (power + variance.reshape(-1, count))
        return float((np.square(estimate - values).mean(axis=0) * weight).sum())

    none = Copies(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    for snr_db, factor in ((10.0, 0.9), (20.0, 0.6)):
        noise = 10 ** (-snr_db / 10)
        both, repeated = (plan_copies(profile, sent, 9, noise, kinds) for kinds in (KINDS, ("repeated",)))
        assert np.isinf(repeated.width).all()
        assert np.isfinite(both.width).any()
        assert left(both, snr_db) < factor * left(none, snr_db)
        assert left(both, snr_db) < left(repeated, snr_db)


def test_the_weakest_channels_give_way_only_where_it_is_worth_it(profile: Profile) -> None:
    assert channels_to_send(profile, 8, 10**2.0).all()
    assert channels_to_send(profile, 16, 0.1).all()
    assert channels_to_send(profile, 3, 0.1).sum() <= 3
    plans = CopyPlans(profile)
    assert (plans.sent(8, 40.0) == plans.sent(8, float("inf"))).all()
    chosen = plans.sent(11, 10.0)
    assert len(plans.copies(chosen, 11, 10.0)) == 11 - chosen.sum()
    assert len(plans.copies(mask(profile, 2), 11, 10.0)) == 2  # no channel is sent three times


def test_the_receiver_is_told_the_copies_and_believes_nothing_else(profile: Profile) -> None:
    copies = plan_copies(profile, mask(profile, 8), 12, 0.05)
    again = Copies.from_tag(copies.to_tag(), 8)
    assert (again.channels == copies.channels).all()
    assert (again.width == copies.width).all()
    assert (again.gain == copies.gain).all()
    for wrong in (
        "no", [1], [[1, 2.0]], [[True, 1.0, 1.0]], [[8, 1.0, 1.0]], [[0, 0.0, 1.0]], [[0, float("nan"), 1.0]],
        [[0, 1.0, -1.0]], [[0, 1.0, float("inf")]], [[1, 1.0, 1.0], [0, 1.0, 1.0]], [[1, 1.0, 1.0], [1, 1.0, 1.0]],
    ):  # fmt: skip
        with pytest.raises(CopiesError):
            Copies.from_tag(wrong, 8)


def test_dimensions_that_cannot_be_filled_are_told(profile: Profile) -> None:
    sent = mask(profile, 4)
    for dimensions in (3, 9):
        with pytest.raises(CopiesError, match="4 to 8 dimensions"):
            plan_copies(profile, sent, dimensions, 0.1)
    for dimensions in (0, 17):
        with pytest.raises(CopiesError, match="1 to 16"):
            channels_to_send(profile, dimensions, 0.1)
    for noise in (0.0, float("inf")):
        with pytest.raises(CopiesError, match="noise variance"):
            plan_copies(profile, sent, 5, noise)
    copies = plan_copies(profile, sent, 6, 0.1)
    with pytest.raises(CopiesError, match="not sent"):
        put_copies(np.zeros(8, np.float32), ~sent, copies)
    with pytest.raises(CopiesError, match="values"):
        take_copies(np.zeros(7, np.float32), np.ones(7, np.float32), sent, copies, profile)
