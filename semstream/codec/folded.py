"""A codec with folds, begun from one without."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from semstream.codec.codec import SemanticCodec


def folded(codec: SemanticCodec, importance: Tensor, folds: tuple[int, ...]) -> SemanticCodec:
    """A codec whose channels stand in order of importance, and whose least important ones carry folds.

    Parameters
    ----------
    codec
        Codec without told SNR.
    importance
        (C,) of each channel: its sensitivity times its power.
    folds
        Channels that are sent twice, counted from the most important one.

    Raises
    ------
    ValueError
        If the codec is told the SNR already.
    """
    if codec.config.told_snr:
        raise ValueError("codec: is told the SNR already; folds can be added to one that is not")
    order = importance.argsort(descending=True)
    plain = codec.config.channels - len(folds)
    new = SemanticCodec(replace(codec.config, told_snr=True, folds=folds))
    state = codec.state_dict()
    c = codec.config.channels
    for name in ("analysis.head", "analysis.gate", "linear_analysis"):
        for part in (".weight", ".bias"):
            if name + part in state:
                state[name + part] = state[name + part][order]
    state["feature_power"] = state["feature_power"][order]
    synthesis = state["linear_synthesis.weight"][:, order].clone()
    synthesis[:, plain:] = 0  # what a fold tells is in the channel that it folds
    state["linear_synthesis.weight"] = synthesis
    embed = state["synthesis.embed.weight"].clone()
    embed[:, :c], embed[:, c : 2 * c] = embed[:, order], embed[:, c + order]
    embed[:, plain:c] = 0
    embed[:, c + plain : 2 * c] = 0
    state["synthesis.embed.weight"] = embed
    for part in (".weight", ".bias"):
        if "synthesis.gate" + part in state:
            gate = state["synthesis.gate" + part]
            state["synthesis.gate" + part] = torch.cat((gate[order], gate[c + order]))
    tables = {name: value for name, value in new.state_dict().items() if name.startswith("gains.")}
    new.load_state_dict(state | tables)
    with torch.no_grad():
        new.feature_power[plain:] = 1 / 3
    return new
