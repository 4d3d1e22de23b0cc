"""What is measured: one setting of the link, as a row of the results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

MOVING = ("doppler", "tdl", "cdl")
CHANNELS = ("awgn", "rayleigh", "rician", "composite", *MOVING)
CSI = ("perfect", "estimated", "estimated-ls")
SCHEMES = ("none", "uniform", "fixed", "cumulative", "proportional", "optimal", "paper")
QUANTIZERS = ("lloyd_max", "fixed_point")
CONTRIBUTIONS = ("sensitivity", "gradient", "magnitude", "std")
MODES = ("linear", "hard", "soft")
MODULATIONS = ("pam", "qam-uncoded", "qam-power", "qam-unequal", "qam-ldpc", "capacity")
BASELINES = ("jpeg", "webp", "avif", "linear")
COPIES = ("none", "repeated", "folded")


class CaseError(ValueError):
    """A case that cannot be measured: says what, and what is possible."""


@dataclass(frozen=True)
class Case:
    """One setting of the link.

    Attributes
    ----------
    channel, snr_db
        Channel model and Es/N0 in dB; ``inf`` is error-free, whatever the channel.
    scheme
        Allocation, ``none`` for unquantized features, ``paper`` for the paper's own scheme in one word (three classes
        by gradient, 5 : 3 : 2 of the budget, fixed-point levels), or one of `BASELINES`.
    bits
        Budget in bits a feature; 0 where it means nothing (``none`` and the baselines).
    quantizer, contribution, classes, dequantize
        As in `semstream.codec.coder`; ``classes`` 0 is a class a channel. Of a picture codec the quantizer column
        says whether its headers are counted.
    modulation
        ``pam``, a feature an amplitude; ``qam-…``, as many bits as fit into the same channel uses, in the format of
        that name (`semstream.codec.qam_design.designed`); ``capacity``, the bits of an ideal code, without error.
    design_snr_db
        SNR that a ``qam`` format is designed for; None: the case's own.
    csi, pilots
        ``perfect``, or ``estimated`` (linear MMSE) or ``estimated-ls``; share of channel uses that are pilots.
    coherence
        Channel uses over which a fade holds, or ``symbol`` or ``frame``.
    interleave
        Whether symbols are sent in an order that spreads a fade over the picture.
    cbr
        Channel bandwidth ratio to be filled, before pilots: channel uses a colour value of the picture; 0: each feature
        once. Bits are then those of a feature that is sent.
    copies
        How: ``none`` sends the most important channels, as many as fit; ``repeated`` and ``folded`` fill up what is
        left (`semstream.codec.copies`), ``folded`` also in place of the weakest channels. Empty where `cbr` is 0.
    """

    channel: str
    snr_db: float
    scheme: str
    bits: float = 0.0
    quantizer: str = ""
    contribution: str = ""
    classes: int = 0
    dequantize: str = ""
    modulation: str = "pam"
    design_snr_db: float | None = None
    csi: str = "perfect"
    pilots: float = 0.0
    coherence: str = "symbol"
    interleave: bool = False
    cbr: float = 0.0
    copies: str = ""

    @property
    def label(self) -> str:
        """Words for a legend."""
        words = [self.scheme if self.scheme != "none" else "unquantized"]
        if self.quantizer and self.scheme not in ("none", "paper"):
            words.append({"lloyd_max": "Lloyd-Max", "fixed_point": "fixed point"}.get(self.quantizer, self.quantizer))
        if self.classes and self.scheme != "paper":
            words.append(f"{self.classes} classes")
        if self.dequantize not in ("", "linear"):
            words.append(self.dequantize)
        if self.modulation != "pam":
            words.append(self.modulation)
        if self.pilots:
            words.append(f"{self.csi} CSI")
        if self.cbr:
            words.append(f"CBR {self.cbr:.3g}" + (f", {self.copies}" if self.copies not in ("", "none") else ""))
        return ", ".join(words)


def make_cases(
    channels: Sequence[str],
    snrs_db: Sequence[float],
    schemes: Sequence[str],
    bits: Sequence[float] = (8.0,),
    quantizers: Sequence[str] = ("lloyd_max",),
    contributions: Sequence[str] = ("sensitivity",),
    modes: Sequence[str] = ("linear",),
    classes: int = 0,
    baselines: Sequence[str] = (),
    modulations: Sequence[str] = ("pam",),
    design_snr_db: float | None = None,
    csi: Sequence[str] = ("perfect",),
    pilots: float = 0.1,
    coherence: str = "symbol",
    interleave: bool = False,
    cbrs: Sequence[float] = (0.0,),
    copies: Sequence[str] = ("none",),
) -> list[Case]:
    """Every combination, without those that differ in what does not matter to them.

    `pilots` are sent where CSI is estimated, and then beside perfect CSI too, so that both meet the same channel.

    Raises
    ------
    CaseError
        If a bit budget, an SNR or a bandwidth is not possible.
    """
    for budget in bits:
        if not 0 < budget <= 12:
            raise CaseError(f"--bits: expected more than 0 and at most 12 bits a feature, got {budget:g}")
    for snr_db in snrs_db:
        if math.isnan(snr_db) or snr_db < -50:
            raise CaseError(f"--snr: expected dB from -50 up, or inf, got {snr_db:g}")
    if design_snr_db is not None and (math.isnan(design_snr_db) or design_snr_db < -50):
        raise CaseError(f"--design-snr: expected dB from -50 up, or inf, got {design_snr_db:g}")
    if not (coherence in ("symbol", "frame") or (coherence.isdigit() and int(coherence) > 0)):
        raise CaseError(f"--coherence: expected symbol, frame or a number of channel uses, got {coherence!r}")
    if set(baselines) - {"linear"} and set(channels) & set(MOVING):
        raise CaseError(
            "--baselines: picture codecs go at the capacity of a channel, which is not known of a moving one"
        )
    digital = [name for name in modulations if name != "pam"]
    if digital and not set(schemes) - {"none", "paper"}:
        raise CaseError(f"--modulation {' '.join(digital)}: carries bits, and --scheme {' '.join(schemes)} makes none")
    if digital and (set(csi) - {"perfect"} or coherence != "symbol" or interleave or set(channels) & set(MOVING)):
        raise CaseError(
            f"--modulation {' '.join(digital)}: meets a channel that is known and fades a symbol; leave --csi, "
            f"--coherence, --interleave and {', '.join(MOVING)} to pam"
        )
    for cbr in cbrs:
        if not 0 <= cbr <= 4:
            raise CaseError(f"--cbr: expected more than 0 and at most 4 channel uses a colour value, got {cbr:g}")
    if any(cbrs) and digital:
        raise CaseError(f"--cbr: leaves out or copies amplitudes; leave it to pam, not {' '.join(digital)}")
    if any(cbrs) and "linear" in baselines:
        raise CaseError(
            "--cbr: the baseline linear has no profile by which to leave out or copy; leave one of them out"
        )
    share = pilots if set(csi) - {"perfect"} else 0.0
    cases: dict[Case, None] = {}
    for channel, snr_db in itertools.product(channels, snrs_db):
        for scheme in schemes:
            if "pam" in modulations:
                for case in _of_scheme(Case(channel, snr_db, scheme), bits, quantizers, contributions, modes, classes):
                    known = replace(case, pilots=share, coherence=coherence, interleave=interleave)
                    rates = [replace(known, cbr=r, copies=c if r else "") for r in cbrs for c in copies]
                    cases |= {replace(rate, csi=kind): None for rate in rates for kind in csi}
            for name in digital if scheme not in ("none", "paper") else ():
                design = None if name == "capacity" or design_snr_db is None else float(design_snr_db)
                case = Case(channel, snr_db, scheme, modulation=name, design_snr_db=design)
                for found in _of_scheme(case, (0.0,), quantizers, contributions, ("",), classes):
                    cases[found] = None
        for name in baselines:
            kinds = ("",) if name == "linear" else ("header counted", "header not counted")
            if name == "linear" or math.isfinite(snr_db):
                cases |= dict.fromkeys(Case(channel, snr_db, name, quantizer=k, cbr=r) for r in cbrs for k in kinds)
    return list(cases)


def _of_scheme(
    case: Case,
    bits: Sequence[float],
    quantizers: Sequence[str],
    contributions: Sequence[str],
    modes: Sequence[str],
    classes: int,
) -> Iterable[Case]:
    if case.scheme == "none":
        yield case
        return
    for budget, mode in itertools.product(bits, modes):
        this = replace(case, bits=float(budget), dequantize=mode)
        if case.scheme == "paper":
            yield replace(this, quantizer="fixed_point", contribution="gradient", classes=3)
            continue
        for quantizer in quantizers:
            # Uniform bits ask for no contribution.
            for contribution in contributions if case.scheme != "uniform" else ("",):
                count = classes if case.scheme != "uniform" else 0
                yield replace(this, quantizer=quantizer, contribution=contribution, classes=count)
