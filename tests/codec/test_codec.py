"""The codec: shapes, power, padding, and how it treats features it cannot trust."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from codec_fixtures import TINY, to_tensor

from semstream.codec.codec import SemanticCodec, pad_to_multiple
from semstream.codec.config import PAPER, SMALL, CodecConfig, ConfigError
from semstream.quantize.dequantize import NOISE_CAP


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a.clamp(0, 1) - b).square().mean()))


def test_the_papers_network_has_7_4_million_parameters() -> None:
    count = sum(p.numel() for name, p in SemanticCodec(PAPER).named_parameters() if not name.startswith("linear_"))
    assert count == pytest.approx(7.4e6, rel=0.02)


def test_32_channels_at_stride_4_use_a_third_of_the_bandwidth() -> None:
    assert PAPER.stride == 4
    assert pytest.approx(1 / 3) == PAPER.channel_bandwidth_ratio
    assert SMALL.channel_bandwidth_ratio == PAPER.channel_bandwidth_ratio


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (4, 4), (2, 100), (32, 32), (61, 3)])
def test_a_picture_of_any_size_comes_back_in_its_size(codec: SemanticCodec, size: tuple[int, int]) -> None:
    features, scale = codec.encode(torch.rand(1, 3, *size))
    assert tuple(features.shape[1:]) == codec.feature_shape(*size)
    restored = codec.decode(features, torch.zeros(()), scale, size)
    assert restored.shape == (1, 3, *size)
    assert torch.isfinite(restored).all()


def test_features_have_unit_mean_power_a_picture_at_any_brightness(codec: SemanticCodec, pictures: np.ndarray) -> None:
    batch = to_tensor(pictures[:4]) * torch.tensor([1.0, 0.5, 0.1, 0.9])[:, None, None, None]
    features, scale = codec.encode(batch)
    assert torch.allclose(features.square().mean(dim=(1, 2, 3)), torch.ones(4), rtol=1e-3)
    assert torch.equal(scale, scale.half().float())


def test_a_black_picture_gives_finite_features(codec: SemanticCodec) -> None:
    features, scale = codec.encode(torch.full((1, 3, 8, 8), 0.45))
    assert torch.isfinite(features).all()
    assert scale > 0


def test_the_linear_path_alone_restores_pictures_before_training(codec: SemanticCodec, pictures: np.ndarray) -> None:
    batch = to_tensor(pictures)
    features, scale = codec.encode(batch)
    assert psnr(codec.decode(features, torch.zeros(()), scale, (32, 32)), batch) > 25


def test_quality_falls_with_noise_and_telling_the_noise_helps(codec: SemanticCodec, pictures: np.ndarray) -> None:
    batch = to_tensor(pictures)
    features, scale = codec.encode(batch)
    generator = torch.Generator().manual_seed(0)
    told = []
    for variance in (0.01, 0.1, 1.0):
        noisy = features + variance**0.5 * torch.randn(features.shape, generator=generator)
        told.append(psnr(codec.decode(noisy, torch.full((), variance), scale, (32, 32)), batch))
        untold = psnr(codec.decode(noisy, torch.zeros(()), scale, (32, 32)), batch)
        assert told[-1] > untold
    assert told == sorted(told, reverse=True)


def test_a_feature_that_was_not_received_has_no_say(codec: SemanticCodec, pictures: np.ndarray) -> None:
    features, scale = codec.encode(to_tensor(pictures[:1]))
    variance = torch.zeros_like(features)
    variance[..., 3] = NOISE_CAP
    a, b = features.clone(), features.clone()
    a[..., 3], b[..., 3] = 0.0, 1.0
    difference = codec.decode(a, variance, scale, (32, 32)) - codec.decode(b, variance, scale, (32, 32))
    assert difference.abs().max() < 1e-3


def test_encoding_one_picture_does_not_depend_on_the_others(codec: SemanticCodec, pictures: np.ndarray) -> None:
    batch = to_tensor(pictures[:3])
    together, alone = codec.encode(batch).features[1], codec.encode(batch[1:2]).features[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_codec_can_be_copied_after_use(codec: SemanticCodec) -> None:
    codec.encode(torch.rand(1, 3, 16, 16))
    twin = copy.deepcopy(codec)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(twin.encode(x).features, codec.encode(x).features)


def test_padding_reflects_and_repeats_where_a_picture_is_too_small() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3).expand(1, 3, 3, 3)
    assert pad_to_multiple(x, 4)[0, 0, 0].tolist() == [0, 1, 2, 1]
    assert pad_to_multiple(torch.ones(1, 3, 1, 1), 4).shape == (1, 3, 4, 4)


def test_without_the_linear_path_features_come_from_the_swin_path() -> None:
    torch.manual_seed(0)
    plain = SemanticCodec(CodecConfig(8, widths=(16,), depths=(2,), heads=(2,), linear_path=False))
    features, _ = plain.encode(torch.rand(1, 3, 16, 16))
    assert features.std() > 0.1
    assert not any(p.requires_grad for p in plain.linear_analysis.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [({"heads": (3, 4)}, "heads"), ({"depths": (2,)}, "one entry a stage"), ({"channels": 0}, "at least 1")],
)
def test_a_configuration_that_cannot_be_built_says_why(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CodecConfig(**change)  # type: ignore[arg-type]


def test_a_configuration_survives_json_and_refuses_what_it_does_not_know() -> None:
    assert CodecConfig.from_json(TINY.to_json()) == TINY
    for text in ("{", "[]", '{"colour": 1}', '{"widths": 3}'):
        with pytest.raises(ConfigError):
            CodecConfig.from_json(text)


def test_gates_start_open_and_then_scale_the_linear_path(codec: SemanticCodec, pictures: np.ndarray) -> None:
    plain = SemanticCodec(replace(TINY, gated=False)).eval()
    plain.load_state_dict({k: v for k, v in codec.state_dict().items() if ".gate." not in k})
    x = to_tensor(pictures[:2])
    with torch.no_grad():
        assert torch.equal(codec.encode(x).features, plain.encode(x).features)
        gated = copy.deepcopy(codec)
        assert gated.analysis.gate is not None
        gated.analysis.gate.bias[0] = 0.5
        before, after = codec.encode(x), gated.encode(x)
        scaled = (after.features * after.scale[:, None, None, None]) / (
            before.features * before.scale[:, None, None, None]
        )
        assert scaled[..., 0].mean() == pytest.approx(np.exp(2 * np.tanh(0.25)), rel=1e-3)
        assert scaled[..., 1:].mean() == pytest.approx(1, rel=1e-3)
        gated.analysis.gate.bias[0] = 1e4
        assert torch.isfinite(gated.encode(x).features).all()


def test_bf16_keeps_the_linear_path_exact_and_the_rest_close(codec: SemanticCodec, pictures: np.ndarray) -> None:
    x = to_tensor(pictures[:4])
    fast = copy.deepcopy(codec)
    torch.manual_seed(0)
    for part in (fast.synthesis.head, fast.analysis.head):
        torch.nn.init.normal_(part.weight, std=0.02)
    exact = copy.deepcopy(fast)
    fast.precision = "bf16"
    with torch.inference_mode():
        (f, scale), (g, _) = exact.encode(x), fast.encode(x)
        assert f.dtype == g.dtype == torch.float32
        assert 0 < (f - g).abs().max() < 0.05
        noise = torch.tensor(0.1)
        assert (exact.decode(f, noise, scale, (32, 32)) - fast.decode(f, noise, scale, (32, 32))).abs().max() < 0.02


def test_weights_rounded_once_give_what_rounding_at_each_call_gives(codec: SemanticCodec, pictures: np.ndarray) -> None:
    x, noise = to_tensor(pictures[:4]), torch.tensor(0.1)
    each = copy.deepcopy(codec)
    each.precision = "bf16"
    once = copy.deepcopy(codec).for_inference("bf16")
    assert once.synthesis.embed.weight.dtype == torch.bfloat16
    assert once.synthesis.norm.weight.dtype == once.linear_analysis.weight.dtype == torch.float32
    with torch.inference_mode():
        (f, scale), (g, _) = each.encode(x), once.encode(x)
        assert torch.equal(f, g)
        assert torch.equal(each.decode(f, noise, scale, (32, 32)), once.decode(f, noise, scale, (32, 32)))
    assert copy.deepcopy(codec).for_inference("fp32").synthesis.embed.weight.dtype == torch.float32
