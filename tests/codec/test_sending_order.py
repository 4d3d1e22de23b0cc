"""The order in which channels are sent: measured by leaving them out, kept with the profile, obeyed by allocations."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from semstream.codec.codec import SemanticCodec
from semstream.codec.copies import channels_to_send
from semstream.codec.profile import Profile, ProfileError
from semstream.codec.sending_order import measured_order


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def test_what_the_decoder_does_not_look_at_is_given_up_first(codec: SemanticCodec, pictures: np.ndarray) -> None:
    deaf = copy.deepcopy(codec)
    with torch.no_grad():
        deaf.linear_synthesis.weight[:, [0, 3]] = 0
    told: list[int] = []
    order = measured_order(deaf, to_tensor(pictures[:8]), told=told.append)
    assert sorted(order) == list(range(codec.config.channels))
    assert set(order[-2:]) == {0, 3}
    assert told == list(range(1, codec.config.channels))
    assert (measured_order(deaf, to_tensor(pictures[:8])) == order).all()
    assert deaf.synthesis.embed.weight.dtype == torch.float32


def test_a_profile_goes_by_its_measured_order(profile: Profile) -> None:
    channels = profile.channels
    by_importance = np.argsort(-profile.importance() * profile.variance, kind="stable")
    assert (np.argsort(-profile.worth, kind="stable") == by_importance).all()
    order = by_importance.copy()
    order[1:4] = order[[3, 1, 2]]
    ordered = replace(profile, sending_order=order.astype(np.float32))
    assert (np.argsort(-ordered.worth, kind="stable") == order).all()
    again = Profile.from_arrays(ordered.to_arrays(), channels)
    assert again.sending_order is not None
    assert (again.sending_order == order).all()
    for count in (2, 3):
        bits = ordered.allocate("optimal", 1.0, feature_count=64 * channels, most_features=64 * count)
        assert set(np.flatnonzero(bits)) <= set(order[:count])
        assert set(np.flatnonzero(channels_to_send(ordered, count, 1.0))) <= set(order[:count])


def test_an_order_that_is_none_is_refused(profile: Profile) -> None:
    twice = np.zeros(profile.channels, np.float32)
    with pytest.raises(ProfileError, match="sending_order"):
        Profile.from_arrays({**profile.to_arrays(), "sending_order": twice}, profile.channels)
