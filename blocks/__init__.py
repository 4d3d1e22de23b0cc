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
"""

from blocks.band_grant import BandGrant
from blocks.band_report import BandReport
from blocks.band_scheduler import BandScheduler
from blocks.bandwidth import BandwidthSchedule, KeepLast
from blocks.contribution_classifier import ContributionClassifier
from blocks.dequantizer import Dequantizer
from blocks.fading_channel import FadingChannel
from blocks.frame_modulator import FrameModulator
from blocks.frame_synchronizer import FrameSynchronizer
from blocks.gnuradio_channel import GnuRadioChannel
from blocks.image_sink import ImageSink
from blocks.image_source import ImageSource
from blocks.iq_sink import IqSink
from blocks.iq_source import IqSource
from blocks.metric_sink import MetricSink
from blocks.non_uniform_quantizer import NonUniformQuantizer
from blocks.power_normalizer import PowerNormalizer
from blocks.probe import PictureProbe, Probe
from blocks.qam_demodulator import QamDemodulator
from blocks.qam_modulator import QamModulator
from blocks.rate_controller import RateController
from blocks.recorder import Recorder, Replay
from blocks.sample_channel import SampleChannel
from blocks.sample_sink import SampleSink
from blocks.sample_source import SampleSource
from blocks.sent_pictures import SentPictures
from blocks.side_information_demodulator import SideInformationDemodulator
from blocks.side_information_modulator import SideInformationModulator
from blocks.sigmf_sink import SigmfSink
from blocks.sigmf_source import SigmfSource
from blocks.snr_estimator import SnrEstimator
from blocks.snr_sweep import SnrSweep
from blocks.swin_decoder import SwinDecoder
from blocks.swin_encoder import SwinEncoder
from blocks.throttle import Throttle
from blocks.uniform_quantizer import UniformQuantizer
from blocks.unquantized import Unquantized

__all__ = [
    "BandGrant",
    "BandReport",
    "BandScheduler",
    "BandwidthSchedule",
    "ContributionClassifier",
    "Dequantizer",
    "FadingChannel",
    "FrameModulator",
    "FrameSynchronizer",
    "GnuRadioChannel",
    "ImageSink",
    "ImageSource",
    "IqSink",
    "IqSource",
    "KeepLast",
    "MetricSink",
    "NonUniformQuantizer",
    "PictureProbe",
    "PowerNormalizer",
    "Probe",
    "QamDemodulator",
    "QamModulator",
    "RateController",
    "Recorder",
    "Replay",
    "SampleChannel",
    "SampleSink",
    "SampleSource",
    "SentPictures",
    "SideInformationDemodulator",
    "SideInformationModulator",
    "SigmfSink",
    "SigmfSource",
    "SnrEstimator",
    "SnrSweep",
    "SwinDecoder",
    "SwinEncoder",
    "Throttle",
    "UniformQuantizer",
    "Unquantized",
]
