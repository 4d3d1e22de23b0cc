"""Training: channels as drawn, a loss that falls, a state to resume from."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from codec_fixtures import TINY, to_tensor

from semstream.codec.air import AirDraw, add_noise, draw_noise_variance, draw_sent, send
from semstream.codec.codec import SemanticCodec
from semstream.codec.optimizer import Muon, Optimizers, parameter_groups
from semstream.codec.profile import Profile
from semstream.codec.training import (
    Average,
    QuantizationDraw,
    StateError,
    TrainingStep,
    learning_rate,
    load_state,
    loss_of,
    per_picture_mse,
    save_state,
)
from semstream.quantize.dequantize import NOISE_CAP

AWGN = AirDraw(snr_db=(10.0, 10.0), clean_share=0, rayleigh_share=0, rician_share=0, frame_share=0)


def test_over_awgn_every_feature_gets_the_labelled_noise() -> None:
    variance = draw_noise_variance((3, 4, 4, 8), AWGN, torch.Generator().manual_seed(0))
    assert torch.allclose(variance, torch.full_like(variance, 0.1))
    noisy = add_noise(torch.zeros(3, 64, 64, 8), torch.full((1,), 0.1), torch.Generator().manual_seed(0))
    assert float(noisy.var()) == pytest.approx(0.1, rel=0.02)


def test_over_rayleigh_two_features_share_a_symbol_of_unit_mean_gain() -> None:
    draw = AirDraw(snr_db=(0.0, 0.0), clean_share=0, rayleigh_share=1, rician_share=0, frame_share=0)
    variance = draw_noise_variance((4, 32, 32, 8), draw, torch.Generator().manual_seed(0)).reshape(-1, 2)
    assert torch.equal(variance[:, 0], variance[:, 1])
    assert float((1 / variance).mean()) == pytest.approx(1.0, rel=0.05)
    assert variance.max() <= NOISE_CAP


def test_a_fade_of_a_frame_is_one_gain_a_picture() -> None:
    draw = AirDraw(clean_share=0, rayleigh_share=0, rician_share=0, frame_share=1)
    variance = draw_noise_variance((5, 4, 4, 8), draw, torch.Generator().manual_seed(0)).reshape(5, -1)
    assert (variance == variance[:, :1]).all()
    assert len(variance[:, 0].unique()) == 5


def test_log_mse_is_psnr_and_counts_every_picture_alike() -> None:
    mse = torch.tensor([1e-2, 1e-4])
    assert float(loss_of(mse, "log_mse")) == pytest.approx(float(mse.log().mean()), abs=0.02)
    assert float(loss_of(mse, "mse")) == pytest.approx(5.05e-3)
    with pytest.raises(ValueError, match="log_mse"):
        loss_of(mse, "ssim")


def test_a_perceptual_loss_weighs_relative_error_against_relative_distance() -> None:
    mse, distance = torch.tensor([1e-2, 1e-4]), torch.tensor([0.3, 0.1])
    before = loss_of(mse, "perceptual", distance, 0.5)
    assert float(loss_of(2 * mse, "perceptual", distance, 0.5) - before) == pytest.approx(0.5 * np.log(2), abs=0.01)
    assert float(loss_of(mse, "perceptual", 2 * distance, 0.5) - before) == pytest.approx(0.5 * np.log(2), abs=0.03)
    assert float(loss_of(mse, "perceptual", distance, 0.0)) == pytest.approx(float(loss_of(mse, "log_mse")))
    with pytest.raises(ValueError, match="distance of each picture"):
        loss_of(mse, "perceptual")


def test_a_distance_in_the_loss_moves_the_decoder(profile: Profile, pictures: np.ndarray) -> None:
    torch.manual_seed(0)
    student = SemanticCodec(replace(TINY, linear_path=False, gated=False))

    def darkness(reference: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        return 1 - picture.mean(dim=(1, 2, 3)) + 0 * reference.mean(dim=(1, 2, 3))

    step = TrainingStep(student, AWGN, "perceptual", 0, distance=darkness, perceptual_share=1.0)
    optimizers = Optimizers(student, "muon", 0.0)
    optimizers.set_learning_rate(3e-3)
    batch = to_tensor(pictures)
    before = float(step(batch).detach())
    for _ in range(20):
        optimizers.zero_grad()
        step(batch).backward()
        optimizers.step()
    assert float(step(batch).detach()) < before - 0.1


def test_the_least_important_channels_are_left_out_first() -> None:
    importance = torch.tensor([0.1, 0.4, 0.2, 0.3])
    draw = AirDraw(tail_share=1.0, least_channels=0.25)
    sent = draw_sent(400, importance, draw, torch.Generator().manual_seed(0))[:, 0, 0]
    assert sent[:, 1].all()
    assert (sent.float().mean(0).argsort(descending=True) == importance.argsort(descending=True)).all()
    assert (sent[:, 3] | ~sent[:, 2]).all()
    assert (sent[:, 2] | ~sent[:, 0]).all()
    all_sent = draw_sent(9, importance, AirDraw(tail_share=0.0), torch.Generator().manual_seed(0))
    assert all_sent.all()


def test_what_is_sent_takes_the_power_of_what_is_not() -> None:
    features = torch.ones(1, 64, 64, 4) * torch.tensor([1.5, 0.5, 0.0, 0.0])
    features = features / features.square().mean().sqrt()
    sent = torch.tensor([True, False, False, False])[None, None, None]
    variance = torch.full_like(features, 0.1)
    received, left = send(features, variance, sent, torch.Generator().manual_seed(0))
    # All of the power of four channels goes into one: its signal-to-noise ratio is that of the air.
    assert float(features[..., 0].square().mean() / left[..., 0].mean()) == pytest.approx(10.0, rel=1e-4)
    assert float((received - features)[..., 0].var()) == pytest.approx(float(left[..., 0].mean()), rel=0.05)
    assert (received[..., 1:] == 0).all()
    assert (left[..., 1:] == NOISE_CAP).all()
    assert torch.equal(left, send(features, variance, sent, torch.Generator().manual_seed(1))[1])


@pytest.mark.parametrize(("stage", "kind"), [(1, "muon"), (1, "adamw"), (2, "muon")])
def test_training_lowers_the_error_that_it_is_measured_by(
    profile: Profile, pictures: np.ndarray, stage: int, kind: str
) -> None:
    torch.manual_seed(0)
    # Without the linear path, which is as good as can be on these Gaussian pictures.
    student = SemanticCodec(replace(TINY, linear_path=False, gated=False))
    step = TrainingStep(
        student,
        AWGN,
        "log_mse",
        0,
        profile=profile if stage == 2 else None,
        quantization=QuantizationDraw((4,), ("uniform",)),
    )
    optimizers = Optimizers(student, kind, 0.0)
    optimizers.set_learning_rate(3e-3)
    batch = to_tensor(pictures)

    def measure() -> float:
        step.eval()
        step.generator.manual_seed(1)
        step.random = np.random.default_rng(1)
        with torch.no_grad():
            loss = float(np.mean([step(batch).item() for _ in range(4)]))
        step.train()
        return loss

    before = measure()
    for _ in range(40):
        optimizers.zero_grad()
        step(batch).backward()
        optimizers.step()
    assert measure() < before - 0.5


def test_muon_takes_the_hidden_matrices_and_the_linear_path_moves_slowly() -> None:
    groups = {group["name"]: group for group in parameter_groups(SemanticCodec(TINY), 0.1)}
    assert set(groups) == {"hidden", "matrices", "vectors", "linear"}
    assert all(p.ndim == 2 for p in groups["hidden"]["params"])
    assert groups["linear"]["rate"] < groups["hidden"]["rate"]
    assert groups["vectors"]["weight_decay"] == groups["linear"]["weight_decay"] == 0
    optimizers = Optimizers(SemanticCodec(TINY), "muon")
    assert [type(o).__name__ for o in optimizers.all] == ["Muon", "AdamW"]
    assert optimizers.all[0].param_groups[0]["name"] == "hidden"


def test_muon_steps_as_pytorchs_does_and_reads_its_state() -> None:
    shapes = [(8, 8), (8, 32), (32, 8), (8, 32), (12, 4)]
    generator = torch.Generator().manual_seed(0)
    mine = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    begun = [p.detach().clone() for p in mine]
    theirs = [torch.nn.Parameter(p.clone()) for p in begun]
    optimizer = Muon([{"params": mine, "lr": 0.02, "weight_decay": 0.1}])
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(6):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        optimizer.step()
        peer.step()
        if step == 3:
            optimizer.load_state_dict(copy.deepcopy(peer.state_dict()))
    for a, b, start in zip(mine, theirs, begun, strict=True):
        assert (a - b).norm() < 0.02 * (b - start).norm()
    still = torch.nn.Parameter(torch.ones(2, 2))
    Muon([{"params": [still]}]).step()
    assert torch.equal(still, torch.ones(2, 2))


def test_the_optimizers_state_comes_back_and_another_kind_is_refused(pictures: np.ndarray) -> None:
    student = SemanticCodec(TINY)
    optimizers = Optimizers(student, "muon")
    optimizers.set_learning_rate(1e-3)
    TrainingStep(student, AWGN, "mse", 0)(to_tensor(pictures[:2])).backward()
    optimizers.step()
    other = Optimizers(student, "muon")
    other.load_state_dict(optimizers.state_dict())
    for mine, theirs in zip(optimizers.all, other.all, strict=True):
        assert mine.state_dict()["state"].keys() == theirs.state_dict()["state"].keys()
    with pytest.raises(ValueError, match="optimizer"):
        Optimizers(student, "adamw").load_state_dict(optimizers.state_dict())
    with pytest.raises(ValueError, match="muon"):
        Optimizers(student, "sgd")


def test_stage_2_passes_gradients_through_the_quantizer_to_the_encoder(
    codec: SemanticCodec, profile: Profile, pictures: np.ndarray
) -> None:
    student = copy.deepcopy(codec).requires_grad_(True)
    step = TrainingStep(student, AWGN, "mse", 0, profile=profile, quantization=QuantizationDraw((3,), ("optimal",)))
    step(to_tensor(pictures[:4])).backward()
    gradient = student.linear_analysis.weight.grad
    assert gradient is not None
    bits = profile.allocate("optimal", 3, feature_count=64 * profile.channels)
    assert gradient[bits > 0].abs().sum() > 0


def test_the_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    rates = [learning_rate(p, 1.0) for p in np.linspace(0, 1, 101)]
    assert rates[1] == pytest.approx(1.0, rel=0.01)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_wsd_stays_at_the_peak_until_its_decay() -> None:
    rates = [learning_rate(p, 1.0, schedule="wsd", decay=0.25) for p in np.linspace(0, 1, 101)]
    assert rates[2:76] == [1.0] * 74
    assert rates[76:] == sorted(rates[76:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert learning_rate(0.8125, 1.0, schedule="wsd", decay=0.25) == pytest.approx(1 - 0.99 * 0.5)
    with pytest.raises(ValueError, match="cosine, wsd"):
        learning_rate(0.5, 1.0, schedule="linear")


def test_a_warm_up_of_any_length_rises_from_near_nothing() -> None:
    for warm_up in (1e-6, 0.1):
        assert learning_rate(0.0, 1.0, warm_up) == pytest.approx(1e-4)
        assert learning_rate(warm_up / 2, 1.0, warm_up) == pytest.approx(0.5)


def test_the_average_forgets_where_it_began_and_then_keeps_its_decay() -> None:
    student = SemanticCodec(TINY)
    average = Average(student, 0.9)
    with torch.no_grad():
        student.analysis.embed.bias.fill_(1.0)
        average.codec.analysis.embed.bias.fill_(0.0)
    average.update(student)
    assert average.codec.analysis.embed.bias[0].item() == pytest.approx(0.9)
    average.steps = 1000
    average.codec.analysis.embed.bias.fill_(0.0)
    student.feature_power.fill_(5.0)
    before = average.codec.feature_power.clone()
    average.update(student)
    assert average.codec.analysis.embed.bias[0].item() == pytest.approx(0.1)
    assert torch.allclose(average.codec.feature_power, before.lerp(student.feature_power, 0.1))
    assert not any(p.requires_grad for p in average.codec.parameters())


def test_per_picture_error_is_a_mean_over_pixels() -> None:
    a, b = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    b[1] = 0.5
    assert per_picture_mse(a, b).tolist() == [0.0, 0.25]


def test_a_state_comes_back_with_its_facts(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"codec": {"w": torch.arange(3)}}, {"step": 7, "seconds": 1.5})
    tensors, facts = load_state(tmp_path / "state.pt", "cpu")
    assert tensors["codec"]["w"].tolist() == [0, 1, 2]
    assert facts == {"step": 7, "seconds": 1.5}


def test_a_state_cut_short_says_what_to_do(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"w": torch.arange(1000)}, {"step": 7})
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:500])
    with pytest.raises(StateError, match=r"state\.pt.*remove it"):
        load_state(tmp_path / "state.pt", "cpu")
