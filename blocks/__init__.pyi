from .band_grant import BandGrant
from .band_report import BandReport
from .band_scheduler import BandScheduler
from .bandwidth import BandwidthSchedule, KeepLast
from .contribution_classifier import ContributionClassifier
from .dequantizer import Dequantizer
from .fading_channel import FadingChannel
from .frame_modulator import FrameModulator
from .frame_synchronizer import FrameSynchronizer
from .gnuradio_channel import GnuRadioChannel
from .image_sink import ImageSink
from .image_source import ImageSource
from .iq_sink import IqSink
from .iq_source import IqSource
from .metric_sink import MetricSink
from .non_uniform_quantizer import NonUniformQuantizer
from .power_normalizer import PowerNormalizer
from .probe import PictureProbe, Probe
from .qam_demodulator import QamDemodulator
from .qam_modulator import QamModulator
from .rate_controller import RateController
from .recorder import Recorder, Replay
from .sample_channel import SampleChannel
from .sample_sink import SampleSink
from .sample_source import SampleSource
from .sent_pictures import SentPictures
from .side_information_demodulator import SideInformationDemodulator
from .side_information_modulator import SideInformationModulator
from .sigmf_sink import SigmfSink
from .sigmf_source import SigmfSource
from .snr_estimator import SnrEstimator
from .snr_sweep import SnrSweep
from .swin_decoder import SwinDecoder
from .swin_encoder import SwinEncoder
from .throttle import Throttle
from .uniform_quantizer import UniformQuantizer
from .unquantized import Unquantized

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
