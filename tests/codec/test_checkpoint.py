"""Weights on disk, whole and broken."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from semstream.codec import checkpoint
from semstream.codec.checkpoint import WeightsError
from semstream.codec.codec import SemanticCodec
from semstream.codec.config import MEDIUM, SMALL, CodecConfig
from semstream.codec.profile import Profile


def metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return dict(file.metadata())


def test_weights_come_back_as_they_were_saved_in_half_precision(codec: SemanticCodec, weights: Path) -> None:
    loaded = checkpoint.load(str(weights))
    for name, value in codec.state_dict().items():
        assert torch.equal(loaded.codec.state_dict()[name], value.half().float())
    assert not loaded.codec.training
    assert loaded.metadata["steps"] == "0"


def test_the_profile_comes_back_exactly(profile: Profile, weights: Path) -> None:
    loaded, _ = checkpoint.load_profile(str(weights))
    for name, value in profile.to_arrays().items():
        assert np.array_equal(loaded.to_arrays()[name], value)


def test_weights_without_a_profile_say_how_to_get_one(codec: SemanticCodec, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "bare.safetensors", codec)
    assert checkpoint.load(str(tmp_path / "bare.safetensors")).profile is None
    with pytest.raises(WeightsError, match=r"tools/profile\.py"):
        checkpoint.load_profile(str(tmp_path / "bare.safetensors"))


@pytest.fixture
def decoder(codec: SemanticCodec, weights: Path, tmp_path: Path) -> Path:
    """A decoder alone of ``whole``, which lies beside it."""
    whole, path = tmp_path / "whole.safetensors", tmp_path / "other.safetensors"
    shutil.copy(weights, whole)
    other = copy.deepcopy(codec)
    with torch.no_grad():
        other.synthesis.head.bias.add_(1)
        other.analysis.head.bias.add_(1)
    checkpoint.save_decoder(path, other, str(whole), {"step": 3})
    return path


def test_a_decoder_alone_comes_with_the_encoder_and_the_profile_of_its_weights(decoder: Path, weights: Path) -> None:
    loaded, whole = checkpoint.load(str(decoder)), checkpoint.load(str(weights))
    changed = {
        name
        for name, value in whole.codec.state_dict().items()
        if not torch.equal(value, loaded.codec.state_dict()[name])
    }
    assert changed == {"synthesis.head.bias"}
    assert loaded.metadata["decoder_of"] == "whole"
    assert loaded.metadata["step"] == "3"
    assert checkpoint.load_profile(str(decoder))[0].to_arrays().keys() == whole.profile.to_arrays().keys()
    assert decoder.stat().st_size < weights.stat().st_size / 2


def test_a_decoder_trained_on_from_a_decoder_belongs_to_the_same_weights(decoder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    checkpoint.save_decoder(again, checkpoint.load(str(decoder)).codec, str(decoder))
    assert metadata(again)["decoder_of"] == "whole"
    assert torch.equal(
        checkpoint.load(str(again)).codec.synthesis.head.bias, checkpoint.load(str(decoder)).codec.synthesis.head.bias
    )


@pytest.mark.parametrize("read", [checkpoint.load, checkpoint.load_profile])
def test_a_decoder_without_its_weights_or_with_others_is_refused(
    read: Any, decoder: Path, codec: SemanticCodec, profile: Profile, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.safetensors"
    shutil.copy(decoder, whole)
    with pytest.raises(WeightsError, match="a decoder alone itself"):
        read(str(decoder))
    whole.unlink()
    with pytest.raises(WeightsError, match="put its encoder beside it"):
        read(str(decoder))
    other = copy.deepcopy(codec)
    other.feature_power.mul_(2)
    checkpoint.save(whole, other, profile)
    with pytest.raises(WeightsError, match=r"a decoder of other weights.*train it again"):
        read(str(decoder))


@pytest.mark.parametrize("name", ["../whole", "", ".", "whole\0", "w" * 300])
def test_a_decoder_that_names_no_weights_is_refused(name: str, decoder: Path) -> None:
    arrays, facts = load_file(decoder), metadata(decoder)
    save_file(arrays, decoder, facts | {"decoder_of": name})
    with pytest.raises(WeightsError, match="no name of weights"):
        checkpoint.load(str(decoder))


@pytest.mark.parametrize("name", ["no/such/weights", "~nobody/weights", "a\0b", "w" * 5000])
def test_a_missing_file_names_the_weights_that_are_there(name: str) -> None:
    with pytest.raises(WeightsError, match=r"no such file.*train\.py") as caught:
        checkpoint.load(name)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("keep", [0, 4, 200, 5000])
def test_a_file_cut_short_is_refused(weights: Path, tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        checkpoint.load(str(cut))


def test_a_tensor_of_another_shape_is_named(weights: Path, tmp_path: Path) -> None:
    arrays = load_file(weights)
    arrays["analysis.head.weight"] = arrays["analysis.head.weight"][:, :3].copy()
    save_file(arrays, tmp_path / "odd.safetensors", metadata(weights))
    with pytest.raises(WeightsError, match=r"analysis\.head\.weight"):
        checkpoint.load(str(tmp_path / "odd.safetensors"))


def test_weights_that_are_not_finite_are_refused(weights: Path, tmp_path: Path) -> None:
    arrays = load_file(weights)
    arrays["synthesis.head.bias"] = np.full_like(arrays["synthesis.head.bias"], np.nan)
    save_file(arrays, tmp_path / "nan.safetensors", metadata(weights))
    with pytest.raises(WeightsError, match="not finite"):
        checkpoint.load(str(tmp_path / "nan.safetensors"))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="configuration"):
        checkpoint.load(str(tmp_path / "other.safetensors"))


def test_a_profile_with_an_array_missing_names_it(weights: Path, tmp_path: Path) -> None:
    arrays = load_file(weights)
    del arrays["profile.variance"]
    save_file(arrays, tmp_path / "half.safetensors", metadata(weights))
    with pytest.raises(WeightsError, match=r"'variance'.*tools/profile\.py"):
        checkpoint.load_profile(str(tmp_path / "half.safetensors"))
    assert checkpoint.load(str(tmp_path / "half.safetensors"), with_profile=False).profile is None  # to measure it anew


@pytest.mark.parametrize("read", [checkpoint.load, checkpoint.load_profile])
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("", "not JSON"), ("[" * 5000, "not JSON"), ('{"channels": "3"}', "channels"), ('{"widths": 8}', "widths"),
        ('{"window": true}', "window"), ('{"mlp_ratio": NaN}', "mlp_ratio"), ('{"lap": 1000001}', "lap"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_none_is_refused(read: Any, told: str, words: str, tmp_path: Path) -> None:
    save_file({"x": np.zeros(3)}, tmp_path / "odd.safetensors", {"config": told})
    with pytest.raises(WeightsError, match=words):
        read(str(tmp_path / "odd.safetensors"))


def test_a_configuration_far_larger_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    lie = CodecConfig(widths=(8192,) * 6, depths=(64,) * 6, heads=(1,) * 6, patch=64, channels=4096)
    save_file({"x": np.zeros(3)}, tmp_path / "lie.safetensors", {"config": lie.to_json()})
    with pytest.raises(WeightsError, match="more than the file holds"):
        checkpoint.load(str(tmp_path / "lie.safetensors"))


def test_no_codec_has_fewer_parameters_than_its_configuration_promises(codec: SemanticCodec) -> None:
    for config in (codec.config, SMALL, MEDIUM):
        held = sum(value.numel() for value in SemanticCodec(config).state_dict().values())
        assert held / 10 < config.least_parameters <= held


def test_a_tensor_of_a_type_that_numpy_has_not_is_refused(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch

    save_torch({"x": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path / "bf16.safetensors", metadata(weights))
    with pytest.raises(WeightsError, match="fp16"):
        checkpoint.load_profile(str(tmp_path / "bf16.safetensors"))


@pytest.mark.parametrize("width", ["²", "9" * 5000, "00001"])
def test_a_codebook_of_an_odd_width_is_no_codebook(width: str, weights: Path, tmp_path: Path) -> None:
    arrays = load_file(weights) | {f"profile.codebook.levels.{width}": np.zeros((2, 2), np.float32)}
    save_file(arrays, tmp_path / "odd.safetensors", metadata(weights))
    assert checkpoint.load_profile(str(tmp_path / "odd.safetensors"))


def test_the_shipped_weights_load_and_have_a_profile() -> None:
    loaded = checkpoint.load()
    assert loaded.profile is not None
    assert loaded.profile.am_gm_db > 3


def test_the_shipped_decoder_alone_has_the_encoder_of_its_weights() -> None:
    whole, other = checkpoint.load("photo-c96"), checkpoint.load("photo-c96-perceptual")
    assert other.metadata["decoder_of"] == "photo-c96"
    theirs = other.codec.state_dict()
    changed = {
        name.partition(".")[0] for name, v in whole.codec.state_dict().items() if not torch.equal(v, theirs[name])
    }
    assert changed == {"synthesis", "linear_synthesis"}


def test_reading_a_profile_does_not_import_pytorch(weights: Path) -> None:
    code = (
        "import sys; from semstream.codec.checkpoint import load_profile; "
        f"load_profile({str(weights)!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
