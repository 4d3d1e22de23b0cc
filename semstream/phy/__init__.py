"""Physical layer: power, modulation, channels and equalisation as pure NumPy functions.

Signal path of one frame (the paper: y = h * s + n, Entropy 2025, 27, 369)::

    features --> normalize --> pam_modulate --> apply(channel) --> mmse --> pam_demodulate --> / g --> features
                  (gain g)                     (h, sigma^2)

Bits instead of amplitudes, for `semstream.codec.qam_link`::

    bits --> protection.plan --> ldpc, interleaving --> qam_modulate --> apply(channel) --> mmse --> qam_llr --> decode
    header --> control_symbols --------------------------^

Frames that are found in samples alone, in place of a channel that knows where they are::

    symbols --> air_frame (preamble, header, pilots, pulse) --> stream_channel --> frame_receiver --> symbols

`information` and `capacity` say what a constellation and a channel can carry. LDPC reads the base graphs that Sionna
carries (the extra ``radio``); all else is NumPy alone.

Nothing here keeps state but what follows a stream (`frame_receiver`, `stream_channel`): the random numbers of a frame
come from ``generator(seed, name, seq)``.
"""

from semstream.phy.channel import KINDS, ChannelError, CompositeOptions, Reception, apply, noise_power
from semstream.phy.equalizer import NOISE_CAP, Equalized, mmse
from semstream.phy.modulation import pam_demodulate, pam_modulate, pam_noise_variance
from semstream.phy.power import mean_symbol_power, normalize
from semstream.phy.random import generator

__all__ = [
    "KINDS",
    "NOISE_CAP",
    "ChannelError",
    "CompositeOptions",
    "Equalized",
    "Reception",
    "apply",
    "generator",
    "mean_symbol_power",
    "mmse",
    "noise_power",
    "normalize",
    "pam_demodulate",
    "pam_modulate",
    "pam_noise_variance",
]
