"""LPIPS, the learned perceptual distance (Zhang et al., CVPR 2018), with its true weights or not at all."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import urllib.request
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from semstream.metrics.quality import check_pair

VARIABLE = "SEMSTREAM_LPIPS_WEIGHTS"
"""Environment variable: a file of backbone weights, or a folder of such files under torchvision's names."""


class Backbone(NamedTuple):
    """An ImageNet network of torchvision that LPIPS compares pictures by."""

    title: str
    url: str
    minimum_side: int
    megabytes: int


# The smallest pictures are those that leave one value in the deepest layer.
_MODELS = "https://download.pytorch.org/models/"
BACKBONES = {
    "vgg": Backbone("VGG-16", _MODELS + "vgg16-397923af.pth", 16, 528),
    "alex": Backbone("AlexNet", _MODELS + "alexnet-owt-7be5be79.pth", 31, 233),
    "squeeze": Backbone("SqueezeNet 1.1", _MODELS + "squeezenet1_1-b8a52dc0.pth", 17, 5),
}


class _UnavailableError(Exception):
    """The message is the reason."""


class Lpips:
    """LPIPS with a chosen backbone; the paper's is VGG.

    The linear layers come with the lpips package, the backbone's ImageNet weights do not. They are looked for in
    ``weights_file``, then where the environment variable SEMSTREAM_LPIPS_WEIGHTS points, then in torch hub's cache
    (``$TORCH_HOME/hub/checkpoints``). Every parameter is loaded from those files: the network is built without memory,
    so a random parameter cannot exist. Without them `available` is False, `reason` says why and what to do in one line,
    and calls give NaN.

    Parameters
    ----------
    net : {"vgg", "alex", "squeeze"}
        Backbone.
    weights_file : path, optional
        State dict of torchvision's network of that name.
    allow_download : bool
        Fetch the weights into torch hub's cache when they are nowhere on this machine.
    timeout : float
        Seconds without an answer after which a download is given up.

    Attributes
    ----------
    available : bool
    reason : str
        Empty where it is available.
    name : str
        For tables, such as "LPIPS (VGG-16)".
    minimum_side : int
        Pictures with a shorter side, in pixels, give NaN.

    Raises
    ------
    ValueError
        If ``net`` is none of the three.
    """

    def __init__(
        self,
        net: str = "vgg",
        weights_file: str | Path | None = None,
        allow_download: bool = False,
        timeout: float = 10.0,
    ) -> None:
        if net not in BACKBONES:
            raise ValueError(f"net: expected one of {', '.join(BACKBONES)}, got {net!r}")
        self.net = net
        self.name = f"LPIPS ({BACKBONES[net].title})"
        self.minimum_side = BACKBONES[net].minimum_side
        self.reason = ""
        self._model: Any = None
        try:
            path = _find(net, weights_file) or (_download(net, timeout) if allow_download else None)
            if path is None:
                raise _UnavailableError(f"its weights are not on this machine; {_way_out(net)}")
            self._model = _load(net, path)
        except _UnavailableError as error:
            self.reason = f"{self.name} is not available: {error}"

    @property
    def available(self) -> bool:
        """Whether calls give a distance."""
        return self._model is not None

    def __call__(self, reference: NDArray[Any], picture: NDArray[Any]) -> float:
        """Perceptual distance of two pictures, 0 for equal ones.

        Parameters
        ----------
        reference, picture : ndarray (H, W, 3)
            Both uint8 or both floating point in [0, 1].

        Returns
        -------
        float
            NaN where LPIPS is not available or the pictures are smaller than `minimum_side`.

        Raises
        ------
        semstream.metrics.quality.MetricError
            If the pictures cannot be compared.
        """
        peak = check_pair(reference, picture)
        if self._model is None or min(reference.shape[:2]) < self.minimum_side:
            return math.nan
        import torch

        from semstream.metrics.quality import _as_batch

        with torch.inference_mode():
            first, second = (_as_batch(p).mul_(2.0 / peak).sub_(1.0) for p in (reference, picture))
            return float(self._model(first, second))


def _way_out(net: str) -> str:
    backbone = BACKBONES[net]
    return f"download {backbone.url} ({backbone.megabytes} MB) and set {VARIABLE} to the file"


def _find(net: str, weights_file: str | Path | None) -> Path | None:
    filename = BACKBONES[net].url.rsplit("/", 1)[1]
    for given, origin in ((weights_file, "weights_file"), (os.environ.get(VARIABLE), VARIABLE)):
        if given:
            path = Path(given).expanduser()
            path = path / filename if path.is_dir() else path
            if not path.is_file():
                raise _UnavailableError(f"{origin} names {path}, which is not there; {_way_out(net)}")
            return path
    cached = _cache() / filename
    return cached if cached.is_file() else None


def _cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(net: str, timeout: float) -> Path:
    """Fetch the weights into torch hub's cache; the file name carries the start of its SHA-256."""
    url = BACKBONES[net].url
    target = _cache() / url.rsplit("/", 1)[1]
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=timeout) as answer,
            tempfile.NamedTemporaryFile(dir=target.parent, suffix=".partial", delete=False) as file,
        ):
            partial = Path(file.name)
            digest = hashlib.sha256()
            while block := answer.read(2**20):
                digest.update(block)
                file.write(block)
        if not digest.hexdigest().startswith(target.stem.rsplit("-", 1)[1]):
            raise _UnavailableError(f"the download of {url} is damaged; try again, or {_way_out(net)}")
        partial.replace(target)
    except OSError as error:
        raise _UnavailableError(f"its weights cannot be fetched ({error}); {_way_out(net)}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return target


def _load(net: str, path: Path) -> Any:
    """LPIPS with every parameter taken from the two files."""
    import lpips
    import torch

    wrong = f"{path} holds no weights of {BACKBONES[net].title}"
    try:
        backbone = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a foreign or damaged file raises nearly anything
        raise _UnavailableError(f"{path} cannot be read (cut short, or no PyTorch file); {_way_out(net)}") from error
    if not isinstance(backbone, dict):
        raise _UnavailableError(f"{wrong}; {_way_out(net)}")
    linear_file = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    linear = torch.load(linear_file, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips uses torchvision's former argument names
        with torch.device("meta"):
            model = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    model.scaling_layer = lpips.ScalingLayer()
    try:
        state = {}
        for name, parameter in model.state_dict().items():
            room, _, rest = name.partition(".")
            if room == "scaling_layer":
                state[name] = parameter
            elif room == "net":  # net.slice2.5.weight is torchvision's features.5.weight
                state[name] = backbone["features." + rest.partition(".")[2]].float()
            else:  # lins.0.model.1.weight is another name of lin0.model.1.weight
                state[name] = linear[name.replace("lins.", "lin", 1)].float()
        model.load_state_dict(state, strict=True, assign=True)
    except (KeyError, AttributeError, RuntimeError) as error:
        raise _UnavailableError(f"{wrong}; {_way_out(net)}") from error
    return model.eval().requires_grad_(False)
