"""Training and profiling as a user runs them, on a few made-up pictures, up to a link with the new weights."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codec_fixtures import smooth_pictures
from PIL import Image

from semstream.codec import checkpoint
from semstream.codec.training import load_state
from semstream.data.crops import TrainingDataError, at_least, load_photographs, pyramid
from semstream.data.training import is_small_dataset, load_training

ROOT = Path(__file__).resolve().parent.parent.parent


def run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "photographs").mkdir()
    for i, picture in enumerate(smooth_pictures(3, 96)):
        Image.fromarray(picture).save(folder / "photographs" / f"{i}.png")
    np.savez(folder / "small.npz", x_train=smooth_pictures(40), x_test=smooth_pictures(10, seed=9))
    return folder


def test_a_codec_is_trained_resumed_profiled_tuned_and_used(data: Path, tmp_path: Path) -> None:
    pictures = ("--data", data / "photographs", data / "small.npz")
    first = (
        "train.py",
        *pictures,
        "--out",
        tmp_path / "one",
        "--batch",
        8,
        "--device",
        "cpu",
        "--validate",
        data / "small.npz",
        "--folds",
        0,
        1,
        0,
    )
    result = run_tool(*first, "--steps", 3)
    assert result.returncode == 0, result.stderr
    assert "PSNR" in result.stdout
    assert json.loads(checkpoint.load(str(tmp_path / "one" / "codec.safetensors")).metadata["step"]) == 3
    result = run_tool(*first, "--steps", 5)
    assert result.returncode == 0, result.stderr
    facts = checkpoint.load(str(tmp_path / "one" / "codec.safetensors")).metadata
    assert json.loads(facts["step"]) == 5
    assert json.loads(facts["crops"]) == 40
    assert str(tmp_path) not in json.dumps(facts)

    weights = tmp_path / "two.safetensors"
    result = run_tool("profile.py", tmp_path / "one" / "codec.safetensors", *pictures, "--crops", 60, "--out", weights)
    assert result.returncode == 0, result.stderr
    assert "AM/GM" in result.stdout
    profile = checkpoint.load(str(weights)).profile
    assert profile is not None
    assert profile.unfolded is not None
    assert not profile.unfolded[-3:].any()
    assert profile.sending_order is not None
    assert sorted(profile.sending_order) == list(range(len(profile.variance)))
    assert profile.under_noise is not None
    belong = np.ptp(profile.under_noise, axis=0) > 0
    assert belong[[0, 1, -3, -2, -1]].all()
    assert belong.sum() == 5
    at_15_db = profile.under_noise[2] / profile.contribution["sensitivity"]
    assert np.abs(np.log(at_15_db[belong])).max() < 0.7  # the same, by other probes
    assert profile.unfolded[0] > profile.contribution["sensitivity"][0]

    result = run_tool(
        "train.py", *pictures, "--stage", 2, "--weights", weights, "--out", tmp_path / "two", "--steps", 2,
        "--batch", 4, "--freeze-encoder", "--device", "cpu",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    decoder = tmp_path / "decoder.safetensors"  # beside its encoder
    (tmp_path / "two" / "codec.safetensors").rename(decoder)
    before, after = checkpoint.load(str(weights)).codec, checkpoint.load(str(decoder)).codec
    assert before.config.folds == after.config.folds == (0, 1, 0)
    for name in ("linear_analysis.weight", "gains.gain_table", "gains.interval_table", "feature_power"):
        assert np.array_equal(before.state_dict()[name], after.state_dict()[name])
    assert not np.array_equal(before.synthesis.embed.weight, after.synthesis.embed.weight)

    link = [sys.executable, ROOT / "flowgraphs" / "awgn_link.py", "--weights", weights, "--size", "32", "--frames", "2",
            "--set", f"swin_decoder.weights={decoder}"]  # fmt: skip
    result = subprocess.run(
        [*map(str, link), "--lpips", "off", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_training_with_a_falling_rate_is_made_longer_from_before_it_fell(data: Path, tmp_path: Path) -> None:
    command = ("train.py", "--data", data / "small.npz", "--out", tmp_path, "--batch", 4, "--schedule", "wsd",
               "--device", "cpu", "--preset", "small")  # fmt: skip
    for steps, decay, fell_at in ((3, 0.2, None), (4, 0.5, 3), (8, 0.5, 4)):
        result = run_tool(*command, "--steps", steps, "--decay", decay)
        assert result.returncode == 0, result.stderr
        assert load_state(tmp_path / "state.pt", "cpu")[1]["step"] == steps
        assert (tmp_path / "stable.pt").exists() == (fell_at is not None)
        if fell_at is not None:
            assert load_state(tmp_path / "stable.pt", "cpu")[1]["step"] == fell_at


def test_a_longer_training_left_off_before_its_rate_falls_goes_on_from_there(data: Path, tmp_path: Path) -> None:
    command = ("train.py", "--data", data / "small.npz", "--out", tmp_path, "--batch", 4, "--schedule", "wsd",
               "--device", "cpu", "--preset", "small")  # fmt: skip
    longer = ("--steps", 10**6, "--decay", 0.1, "--session-minutes")
    reached = []
    for options in (("--steps", 2, "--decay", 0.5), (*longer, 0.02), (*longer, 1e-9)):
        result = run_tool(*command, *options)
        assert result.returncode == 0, result.stderr
        reached.append(load_state(tmp_path / "state.pt", "cpu")[1]["step"])
    assert load_state(tmp_path / "stable.pt", "cpu")[1]["step"] == 1
    assert 1 < reached[1] == reached[2]


def test_a_state_of_another_training_is_refused_in_words(data: Path, tmp_path: Path) -> None:
    command = (
        "train.py",
        "--data",
        data / "small.npz",
        "--out",
        tmp_path,
        "--batch",
        4,
        "--steps",
        1,
        "--device",
        "cpu",
    )
    assert run_tool(*command, "--preset", "small").returncode == 0
    result = run_tool(*command, "--preset", "medium")
    assert result.returncode == 1
    assert "is of another training" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_perceptual_training_without_weights_says_how_to_get_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("SEMSTREAM_LPIPS_WEIGHTS", raising=False)
    result = run_tool("train.py", "--data", data / "small.npz", "--loss", "perceptual", "--out", tmp_path / "run")
    assert result.returncode == 1
    assert "semstream weights lpips" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_estimate_says_crops_a_second_and_leaves_no_run_behind(data: Path, tmp_path: Path) -> None:
    result = run_tool("train.py", "--data", data / "small.npz", "--out", tmp_path / "run", "--batch", 2, "--preset",
                      "small", "--minutes", 10, "--estimate", "--device", "cpu")  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = re.search(r"(\d+) crops/s; ([\d.]+) GFLOP a crop, \d+% of", result.stdout)
    assert found is not None, result.stdout
    assert 0.1 < float(found[2]) < 2
    assert re.search(r"10 minutes: [\d,]+ crops", result.stdout)
    assert not (tmp_path / "run").exists()


def test_training_needs_no_package_of_the_runtime() -> None:
    code = "import sys, tools.training.loop; print({'zmq', 'pydantic', 'typer', 'av'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("tool", ["train.py", "profile.py"])
def test_missing_pictures_are_one_line(tool: str, weights: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "o") if tool == "train.py" else (weights,)
    result = run_tool(tool, *options, "--data", "/no/such/pictures")
    assert result.returncode == 1
    assert "/no/such/pictures" in result.stderr
    assert "Traceback" not in result.stderr


def test_folds_that_cannot_be_are_refused_in_words(weights: Path, data: Path, tmp_path: Path) -> None:
    common = ("train.py", "--data", data / "small.npz", "--weights", weights, "--out", tmp_path, "--steps", 1)
    for more, words in (
        (("--folds", 7), "folds must be a list of channels before the last"),
        (("--stage", 2, "--folds", 0), "fold in stage 1"),
    ):
        result = run_tool(*common, *more)
        assert result.returncode == 1
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_stage_2_without_a_profile_says_what_to_run(codec: object, data: Path, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "bare.safetensors", codec)  # type: ignore[arg-type]
    result = run_tool(
        "train.py",
        "--stage",
        2,
        "--weights",
        tmp_path / "bare.safetensors",
        "--data",
        data / "small.npz",
        "--out",
        tmp_path,
    )
    assert result.returncode == 1
    assert "tools/profile.py" in result.stderr


def test_a_pyramid_shrinks_down_to_the_crop_and_no_further() -> None:
    sides = [min(level.shape[:2]) for level in pyramid(smooth_pictures(1, 128)[0], 32, 8.0)]
    assert sides == [128, 91, 64, 45, 32]
    assert at_least(np.zeros((1, 5, 3), np.uint8), 8).shape == (8, 8, 3)


def test_training_data_is_found_in_published_layouts(tmp_path: Path, data: Path) -> None:
    cifar = tmp_path / "cifar-10-batches-py"
    cifar.mkdir()
    pictures = smooth_pictures(4)
    batch = {b"data": pictures.transpose(0, 3, 1, 2).reshape(4, -1), b"labels": [0, 1, 2, 3]}
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (cifar / name).write_bytes(pickle.dumps(batch))
    assert is_small_dataset(cifar)
    photographs, small = load_training([cifar, data / "photographs", data / "small.npz"])
    assert small is not None
    assert small.shape == (20 + 40, 32, 32, 3)
    assert np.array_equal(small[:4], pictures)
    assert len(photographs) == 3


def test_unusable_training_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no readable picture"):
        load_photographs(tmp_path)
    (tmp_path / "odd.npz").write_bytes(b"no archive")
    with pytest.raises(TrainingDataError, match=r"odd\.npz"):
        load_training([tmp_path / "odd.npz"])
    np.savez(tmp_path / "flat.npz", x_train=np.zeros((3, 4)))
    with pytest.raises(TrainingDataError, match="uint8"):
        load_training([tmp_path / "flat.npz"])
