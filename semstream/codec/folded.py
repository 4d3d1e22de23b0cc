"""A codec with (more) folds, begun from one with fewer or none."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from semstream.codec.codec import SemanticCodec
from semstream.codec.config import ConfigError


def linear_importance(codec: SemanticCodec) -> Tensor:
    """(C,) what the picture would lose with each channel, were the decoder its linear path alone."""
    weight = codec.linear_synthesis.weight.detach()
    gain = weight.square().sum(dim=[i for i in range(weight.ndim) if i != 1])
    return gain * codec.feature_power


def folded(codec: SemanticCodec, folds: tuple[int, ...]) -> SemanticCodec:
    """A codec whose plain channels stand in order of importance, the least important ones replaced by folds.

    Parameters
    ----------
    codec
        Any codec; of folds that it has, those that are told anew keep what they have learned.
    folds
        Channels that are sent again, counted from the most important one (by `linear_importance`); the same one
        several times for finer and finer folds.

    Raises
    ------
    ConfigError
        If the codec has no linear path, or fewer plain channels already than the folds would leave.
    """
    if not codec.config.linear_path:
        raise ConfigError("codec: has no linear path, whose features are folded")
    channels, had = codec.config.channels, len(codec.config.folds)
    plain, wanted = channels - had, channels - len(folds)
    if wanted > plain:
        raise ConfigError(
            f"codec: {had} channels carry folds already; expected as many folds or more, got {len(folds)}"
        )
    order = linear_importance(codec)[:plain].argsort(descending=True)
    place = {int(channel): i for i, channel in enumerate(order)}
    kept = _same_folds([place[base] for base in codec.config.folds], list(folds))
    # Where a channel comes from: those that are new folds come from plain ones that are dropped.
    dropped = iter(order[wanted:].tolist())
    of_folds = [plain + kept[i] if i in kept else next(dropped, plain) for i in range(len(folds))]
    source = torch.tensor(order[:wanted].tolist() + of_folds)
    fresh = torch.tensor([wanted + i for i in range(len(folds)) if i not in kept], dtype=torch.long)

    new = SemanticCodec(replace(codec.config, told_snr=True, folds=folds))
    state = {name: value.clone() for name, value in codec.state_dict().items() if not name.startswith("gains.")}
    for name in ("analysis.head", "analysis.gate", "linear_analysis"):
        for part in (".weight", ".bias"):
            if name + part in state:
                state[name + part] = state[name + part][source]
    state["feature_power"] = state["feature_power"][source]
    state["feature_power"][fresh] = 1 / 3
    state["linear_synthesis.weight"] = state["linear_synthesis.weight"][:, source]
    state["linear_synthesis.weight"][:, fresh] = 0  # what a fold tells is in the channel that it folds
    embed = state["synthesis.embed.weight"]
    embed[:, : 2 * channels] = embed[:, torch.cat((source, channels + source))]
    embed[:, torch.cat((fresh, channels + fresh))] = 0
    for part in (".weight", ".bias"):
        if "synthesis.gate" + part in state:
            state["synthesis.gate" + part] = state["synthesis.gate" + part][torch.cat((source, channels + source))]
    for name, table in new.state_dict().items():
        if name.startswith(("gains.", "analysis.told.")) and name not in state:
            state[name] = table.clone()
    if codec.gains is not None:
        old = codec.gains.state_dict()
        stay = torch.tensor([i for i in range(channels) if i not in fresh])
        state["gains.gain_table"][:, stay] = old["gain_table"][:, source[stay]]
        for i, j in kept.items():
            state["gains.interval_table"][:, i] = old["interval_table"][:, j]
    new.load_state_dict(state)
    return new


def _same_folds(old: list[int], new: list[int]) -> dict[int, int]:
    """Which of the new folds (by number) are which of the old ones: the same level of the same channel."""
    levels = {(base, old[:j].count(base)): j for j, base in enumerate(old)}
    named = ((i, (base, new[:i].count(base))) for i, base in enumerate(new))
    return {i: levels[fold] for i, fold in named if fold in levels}
