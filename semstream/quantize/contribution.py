"""How much each feature matters for the picture: the contribution factor.

Source: "Feature-Driven Semantic Communication for Efficient Image Transmission", Entropy 2025, 27, 369:
c_i = r(s_i)/Σ r(s_j).
Probes: M. F. Hutchinson, "A stochastic estimator of the trace" (1989).

    gradient     r = |∂L/∂s_i|           the paper's
    sensitivity  r = diag(JᵀJ)_i          what its Theorem 1 needs: at a trained optimum ∂L/∂s goes to 0, JᵀJ does not
    magnitude    r = |s_i|                the paper's ablation
    std          r = spread of the channel  the paper's ablation

Signed gradients are never averaged: they cancel where the picture is most sensitive. Magnitudes are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semstream.quantize.errors import QuantizeError

__all__ = ["gradient", "magnitude", "normalise", "per_channel", "sensitivity", "squared_error", "std"]

Decode = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def squared_error(decoded: Tensor, pictures: Tensor) -> Tensor:
    """Mean squared error of each picture, summed over the batch: a picture's gradient is the same in any batch."""
    return (decoded - pictures).square().flatten(1).mean(dim=1).sum()


def gradient(decode: Decode, features: Tensor, pictures: Tensor, loss: Loss = squared_error) -> Tensor:
    """The paper's contribution: magnitude of the loss's gradient at each feature.

    Parameters
    ----------
    decode : features (B, h, w, C) -> pictures (B, 3, H, W), differentiable.
    features : (B, h, w, C) floating point.
    pictures : (B, 3, H, W), the originals.
    loss : (decoded, pictures) -> scalar, a sum over the batch.

    Returns
    -------
    (B, h, w, C) >= 0, detached.

    Raises
    ------
    QuantizeError
        The loss does not depend on the features, or its gradient is not finite.
    """
    with torch.enable_grad():
        s = features.detach().requires_grad_(True)
        value = loss(decode(s), pictures)
        (slope,) = torch.autograd.grad(value, s, allow_unused=True) if value.requires_grad else (None,)
    return _finite(slope, "gradient").abs()


def sensitivity(decode: Decode, features: Tensor, probes: int = 8, generator: torch.Generator | None = None) -> Tensor:
    """diag(JᵀJ) at each feature, J the decoder's Jacobian, estimated without bias from random probes.

    E_v[(Jᵀv)_i²] = Σ_k J_ki² for v of independent signs; `probes` backward passes through one forward pass.

    Parameters
    ----------
    decode : features (B, h, w, C) -> pictures (B, 3, H, W), differentiable, each picture from its own features.
    features : (B, h, w, C) floating point.
    probes : number of random sign vectors; the relative error falls as 1/√probes, and averaging over positions and
        pictures (`per_channel`) makes few enough.
    generator : of the features' device; the same seed gives the same estimate. Without one, torch's default.

    Returns
    -------
    (B, h, w, C) >= 0, detached: squared change of the picture (sum over its values) for a unit change of the feature.

    Raises
    ------
    QuantizeError
        Fewer than one probe, a decoder that does not depend on the features, or a Jacobian that is not finite.
    """
    if probes < 1:
        raise QuantizeError(f"probes: expected >= 1, got {probes}")
    with torch.enable_grad():
        s = features.detach().requires_grad_(True)
        decoded = decode(s)
        total = torch.zeros_like(s, dtype=torch.promote_types(s.dtype, torch.float32))
        for probe in range(probes):
            signs = torch.randint(0, 2, decoded.shape, generator=generator, device=decoded.device)
            v = (2 * signs - 1).to(decoded.dtype)
            pulled: tuple[Tensor | None, ...] = (None,)
            if decoded.requires_grad:
                pulled = torch.autograd.grad(decoded, s, v, retain_graph=probe < probes - 1, allow_unused=True)
            total += _finite(pulled[0], "sensitivity").to(total.dtype).square()
    return total / probes


def magnitude(features: Tensor) -> Tensor:
    """|s_i|, of the features' shape (the paper's ablation)."""
    return _finite(features.detach(), "magnitude").abs()


def std(features: Tensor) -> Tensor:
    """Standard deviation of each channel over pictures and positions, at every feature (the paper's ablation).

    Parameters
    ----------
    features : (..., C).
    """
    s = _finite(features.detach(), "std")
    spread = s.reshape(-1, s.shape[-1]).std(dim=0, correction=0)
    return spread.expand_as(s).clone()


def normalise(r: Tensor) -> Tensor:
    """Contribution factors c = r/Σr over the whole tensor, float64, summing to 1; if all are 0, equal ones.

    Raises
    ------
    QuantizeError
        Negative or non-finite contributions.
    """
    wide = _finite(r, "contribution").double()
    if (wide < 0).any():
        raise QuantizeError("contribution: expected >= 0; take magnitudes, never signed gradients")
    total = wide.sum()
    return wide / total if total > 0 else torch.full_like(wide, 1 / max(wide.numel(), 1))


def per_channel(r: Tensor) -> Tensor:
    """Mean contribution of each channel, (..., C) -> (C,) float64. `r` must be >= 0: signs would cancel.

    Raises
    ------
    QuantizeError
        Negative or non-finite contributions.
    """
    if (r < 0).any():
        raise QuantizeError("contribution: expected >= 0; average magnitudes, never signed gradients")
    return _finite(r, "contribution").double().reshape(-1, r.shape[-1]).mean(dim=0)


def _finite(values: Tensor | None, what: str) -> Tensor:
    if values is None:
        raise QuantizeError(f"{what}: the decoder's output does not depend on the features")
    if not torch.isfinite(values).all():
        raise QuantizeError(f"{what}: some values are NaN or infinite")
    return values
