"""The SNR that an encoder is told: features, contributions and bits of a codec with folds go by it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from test_link_blocks import frames_of, mean_psnr

from blocks import ContributionClassifier, NonUniformQuantizer, SwinDecoder, SwinEncoder
from semstream.runtime import Frame
from semstream.testing import run_block


def test_the_encoder_makes_features_for_the_snr_it_is_told(
    weights: Path, pictures: np.ndarray, codec: Any, profile: Any, tmp_path: Path
) -> None:
    from semstream.codec import checkpoint
    from semstream.codec.folded import folded

    told = tmp_path / "told.safetensors"
    checkpoint.save(told, folded(codec, (0, 0)), profile)
    tags = [{"snr_db": 4.0}, {"snr_db": 16.0, "snr_estimate_db": 7.0}, {"snr_db": float("nan")}, {"snr_db": "loud"}, {}]
    frames = [Frame({"image": pictures[0]}, tags=dict(tag)) for tag in tags]

    def heard(**settings: Any) -> list[float]:
        return [told_db(f.tags["scale"]) for f in run_block(SwinEncoder(weights=str(told), **settings), frames)]

    assert heard() == [4.5, 16.5, 10.5, 10.5, 10.5]
    assert heard(snr="estimated", fixed_snr_db=1.0) == [1.5, 7.5, 1.5, 1.5, 1.5]
    assert heard(snr="fixed", fixed_snr_db=13.0) == [13.5] * 5
    (frame,) = run_block(SwinDecoder(weights=str(told)), run_block(SwinEncoder(weights=str(told)), frames[:1]))
    assert mean_psnr(pictures[:1], [frame]) > 15


def test_element_by_element_what_is_folded_counts_and_its_folds_do_not(
    weights: Path, pictures: np.ndarray, codec: Any, profile: Any, tmp_path: Path
) -> None:
    from semstream.codec import checkpoint
    from semstream.codec.folded import folded

    w = str(tmp_path / "told.safetensors")
    checkpoint.save(Path(w), folded(codec, (0, 0)), profile)
    features = run_block(SwinEncoder(weights=w), frames_of(pictures[:1]))
    (frame,) = run_block(ContributionClassifier(weights=w, granularity="element", classes=2), features)
    contribution = frame["contribution_map"].mean(axis=(0, 1))
    assert (contribution[-2:] < 1e-12).all()
    assert (frame["class_map"][..., -2:] == 1).all()
    assert contribution[0] > np.median(contribution)


def test_frames_without_a_tag_get_bits_for_the_snr_that_their_features_were_made_for(
    weights: Path, pictures: np.ndarray, codec: Any, profile: Any, tmp_path: Path
) -> None:
    from semstream.codec import checkpoint
    from semstream.codec.folded import folded
    from semstream.codec.profile import NOISE_KNOTS_DB

    alone = profile.contribution["sensitivity"].copy()
    noisy = alone.copy()
    alone[-2:], noisy[-2:], noisy[0] = 0, alone[0] / 4, alone[0] / 4
    under = np.repeat(noisy[None], len(NOISE_KNOTS_DB), axis=0)
    whole = replace(
        profile,
        contribution={**profile.contribution, "sensitivity": noisy},
        unfolded=alone,
        under_noise=under,
    )
    w = str(tmp_path / "told.safetensors")
    checkpoint.save(Path(w), folded(codec, (0, 0)), whole)
    features = run_block(SwinEncoder(weights=w, snr="fixed", fixed_snr_db=9.0), frames_of(pictures[:1]))
    (classified,) = run_block(ContributionClassifier(weights=w), features)

    def payload(tags: dict[str, Any], **settings: Any) -> bytes:
        frame = Frame(dict(classified.arrays), tags={**classified.tags, **tags})
        (codes,) = run_block(NonUniformQuantizer(weights=w, bits=4, **settings), [frame])
        found: bytes = codes["payload"].tobytes()
        return found

    assert payload({}) == payload({"snr_db": 9.0}) == payload({}, design_snr_db=9.0)
    assert payload({}) != payload({}, follow_snr=False) == payload({"snr_db": math.inf})


def told_db(scale: float) -> float:
    import torch

    from semstream.codec.folding import told_snr_db

    return float(told_snr_db(torch.tensor(scale)))
