"""The blocks of semstream, one file a block: ``from blocks import SwinEncoder``.

ImageSource ─ SnrSweep ─ SwinEncoder ─ ContributionClassifier ─ NonUniformQuantizer ─ PowerNormalizer ─┐
     │                          └───── UniformQuantizer, Unquantized (baselines) ─────┘           FadingChannel
     │                                                                                                 │
MetricSink ─────────────── SwinDecoder ──────────────────── Dequantizer ──────────────────────────────┘

BandReport, BandScheduler and BandGrant stand before the quantizers of several users who share one band.
QamModulator and QamDemodulator take the places of PowerNormalizer and Dequantizer: bits over QAM instead of amplitudes.

With nothing but samples between two programs, for frames that need nothing beside their symbols (QamModulator, or
SideInformationModulator behind PowerNormalizer):

FrameModulator ─ (SampleChannel) ─ SampleSink ═══ file, socket, radio ═══ SampleSource ─ FrameSynchronizer

A block is imported when it is first asked for (`__init__.pyi` lists them): a program, and each child of a run, pays for
those that it uses.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
