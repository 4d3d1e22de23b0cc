from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semstream.quantize.contribution import gradient, magnitude, normalise, per_channel, sensitivity, std
from semstream.quantize.errors import QuantizeError

H, W, C = 2, 3, 4


def linear_decoder(seed: int = 0) -> tuple[torch.Tensor, object]:
    matrix = torch.randn(3 * 4 * 6, H * W * C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def decode(s: Tensor) -> Tensor:
        return (s.flatten(1) @ matrix.T).reshape(-1, 3, 4, 6)

    return matrix, decode


def features(batch: int = 2) -> Tensor:
    return torch.randn(batch, H, W, C, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def test_sensitivity_converges_to_the_diagonal_of_jtj() -> None:
    matrix, decode = linear_decoder()
    exact = matrix.square().sum(dim=0).reshape(H, W, C)
    found = sensitivity(decode, features(), probes=4000, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    torch.testing.assert_close(found, exact.expand(2, H, W, C), rtol=0.12, atol=0)
    assert found.mean() == pytest.approx(float(exact.mean()), rel=0.01)


def test_sensitivity_is_exact_where_the_jacobian_has_one_entry_a_row() -> None:
    scale = torch.arange(1.0, C + 1)
    found = sensitivity(lambda s: (s * scale).permute(0, 3, 1, 2), torch.ones(1, H, W, C), probes=1)
    torch.testing.assert_close(found, scale.square().expand(1, H, W, C))


def test_sensitivity_of_a_decoder_at_its_optimum_does_not_vanish_as_the_gradient_does() -> None:
    _, decode = linear_decoder()
    s = features()
    pictures = decode(s)  # type: ignore[operator]
    assert gradient(decode, s, pictures).max() == 0  # type: ignore[arg-type]
    assert sensitivity(decode, s, generator=torch.Generator().manual_seed(0)).min() > 0  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_sensitivity() -> None:
    _, decode = linear_decoder()
    runs = [sensitivity(decode, features(), 3, torch.Generator().manual_seed(5)) for _ in range(2)]  # type: ignore[arg-type]
    other = sensitivity(decode, features(), 3, torch.Generator().manual_seed(6))  # type: ignore[arg-type]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], other)


def test_the_gradient_is_that_of_the_loss() -> None:
    matrix, decode = linear_decoder()
    s = features()
    pictures = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    exact = 2 / matrix.shape[0] * (s.flatten(1) @ matrix.T @ matrix).reshape(s.shape)
    torch.testing.assert_close(gradient(decode, s, pictures), exact.abs())  # type: ignore[arg-type]
    with torch.no_grad():  # an evaluation loop calls it
        torch.testing.assert_close(gradient(decode, s, pictures), exact.abs())  # type: ignore[arg-type]


def test_the_gradient_of_a_picture_does_not_depend_on_its_batch() -> None:
    _, decode = linear_decoder()
    s, pictures = features(3), torch.zeros(3, 3, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(gradient(decode, s, pictures)[:1], gradient(decode, s[:1], pictures[:1]))  # type: ignore[arg-type]


def test_contributions_leave_the_network_and_the_features_alone() -> None:
    layer = torch.nn.Linear(C, 3)
    s = torch.randn(1, H, W, C, requires_grad=True)
    found = sensitivity(lambda f: layer(f).permute(0, 3, 1, 2), s, 2)
    assert layer.weight.grad is None
    assert s.grad is None
    assert not found.requires_grad


def test_channels_average_magnitudes_and_never_signs() -> None:
    s = torch.tensor([[1.0, 2.0], [-1.0, 2.0]]).reshape(1, 1, 2, 2)
    assert per_channel(magnitude(s)).tolist() == [1.0, 2.0]
    with pytest.raises(QuantizeError, match="signed gradients"):
        per_channel(s)
    with pytest.raises(QuantizeError, match="signed gradients"):
        normalise(s)


def test_std_is_the_spread_of_each_channel_at_every_feature() -> None:
    s = torch.tensor([[1.0, 5.0], [-1.0, 5.0]]).reshape(1, 1, 2, 2)
    assert std(s).reshape(2, 2).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_normalised_contributions_sum_to_one() -> None:
    c = normalise(torch.tensor([1.0, 3.0]))
    assert c.tolist() == [0.25, 0.75]
    assert normalise(torch.zeros(4)).tolist() == [0.25] * 4


def test_bad_input_is_named() -> None:
    s = torch.ones(1, H, W, C)
    with pytest.raises(QuantizeError, match="does not depend"):
        sensitivity(lambda f: torch.ones(1, 3, 2, 2), s)
    with pytest.raises(QuantizeError, match="does not depend"):
        gradient(lambda f: torch.ones(1, 3, 2, 2), s, torch.zeros(1, 3, 2, 2))
    with pytest.raises(QuantizeError, match="NaN"):
        gradient(lambda f: f.sqrt(), s * 0, s * 0 + 1)
    with pytest.raises(QuantizeError, match="probes"):
        sensitivity(lambda f: f, s, 0)
    with pytest.raises(QuantizeError, match="NaN"):
        magnitude(s * float("nan"))
