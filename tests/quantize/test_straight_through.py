from __future__ import annotations

import numpy as np
import pytest
import torch

from semstream.quantize.errors import QuantizeError
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.quantizer import LloydMax
from semstream.quantize.straight_through import codebook_tensors, quantize_straight_through


@pytest.mark.parametrize("bits", [[5, 3, 2, 1], [0, 8, 0, 12], [4, 4, 4, 4], [0, 0, 0, 0]])
def test_training_sees_the_levels_of_the_quantizer(quantizer: LloydMax, bits: list[int]) -> None:
    s = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    found = quantize_straight_through(s, codebook_tensors(quantizer), bits)
    widths = np.array(bits)
    expected = quantizer.dequantize(quantizer.quantize(s.numpy(), widths), widths)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_the_identity_except_where_nothing_is_sent(quantizer: LloydMax) -> None:
    s = torch.randn(2, 3, 3, 4, requires_grad=True)
    weight = torch.randn(2, 3, 3, 4)
    (quantize_straight_through(s, codebook_tensors(quantizer), torch.tensor([3, 0, 1, 9])) * weight).sum().backward()
    sent = torch.tensor([1.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(s.grad, weight * sent)


def test_fixed_point_levels_work_too() -> None:
    quantizer = FixedPoint(np.array([2.0, 3.0]))
    s = torch.randn(50, 2)
    bits = np.array([3, 5])
    found = quantize_straight_through(s, codebook_tensors(quantizer), bits)
    expected = quantizer.dequantize(quantizer.quantize(s.numpy(), bits), bits)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_half_precision_features_keep_their_type(quantizer: LloydMax) -> None:
    s = torch.randn(1, 2, 2, 4).bfloat16()
    assert quantize_straight_through(s, codebook_tensors(quantizer, max_bits=3), [3, 2, 1, 0]).dtype == torch.bfloat16


def test_a_missing_codebook_and_a_wrong_channel_count_are_named(quantizer: LloydMax) -> None:
    tensors = codebook_tensors(quantizer, max_bits=3)
    with pytest.raises(QuantizeError, match="no codebook for 4 bits"):
        quantize_straight_through(torch.zeros(1, 4), tensors, [4, 1, 1, 1])
    with pytest.raises(QuantizeError, match="shape"):
        quantize_straight_through(torch.zeros(1, 4), tensors, [1, 1])
