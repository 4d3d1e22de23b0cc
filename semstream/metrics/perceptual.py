"""LPIPS, the learned perceptual distance (Zhang et al., CVPR 2018), with its true weights or not at all."""

from __future__ import annotations

import hashlib
import math
import os
import socket
import warnings
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

from numpy.typing import NDArray

from semstream.metrics.quality import check_pair

VARIABLE = "SEMSTREAM_LPIPS_WEIGHTS"
"""Environment variable: a file of backbone weights, or a folder of such files under torchvision's names."""


AUTO = "auto"
"""The first backbone whose weights are there."""


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


class LpipsError(Exception):
    """LPIPS cannot be measured, or its weights cannot be fetched; the message is the reason, in one line."""


class Lpips:
    """LPIPS with a chosen backbone; the paper's is VGG.

    The linear layers come with the lpips package, the backbone's ImageNet weights do not. They are looked for in
    ``weights_file``, then where the environment variable SEMSTREAM_LPIPS_WEIGHTS points, then in torch hub's cache
    (``$TORCH_HOME/hub/checkpoints``), where `fetch` puts them; nothing is fetched here. Every parameter is loaded from
    those files: the network is built without memory, so a random parameter cannot exist. Without them `available` is
    False, `reason` says why and what to do in one line, and calls give NaN.

    Parameters
    ----------
    net : {"auto", "vgg", "alex", "squeeze"}
        Backbone; "auto" is the first of these whose weights are there.
    weights_file : path, optional
        State dict of torchvision's network of that name.

    Attributes
    ----------
    net : str
        The backbone in use; "auto" where there is none.
    available : bool
    reason : str
        Why it is not available; empty where it is.
    said : str
        One line for tables: which backbone measures, or `reason`.
    name : str
        For tables, such as "LPIPS (VGG-16)".
    minimum_side : int
        Pictures with a shorter side, in pixels, give NaN.

    Raises
    ------
    ValueError
        If ``net`` is none of these.
    """

    def __init__(self, net: str = "auto", weights_file: str | Path | None = None) -> None:
        if net not in (AUTO, *BACKBONES):
            raise ValueError(f"net: expected one of {', '.join((AUTO, *BACKBONES))}, got {net!r}")
        self.reason = ""
        self._model: Any = None
        try:
            self.net, self._model = _first_that_loads(net, weights_file)
        except LpipsError as error:
            self.net = net
            self.reason = f"{_title(net)} is not available: {error}"
        self.name = _title(self.net)
        self.minimum_side = BACKBONES[self.net].minimum_side if self.net in BACKBONES else 1
        self.said = self.reason or f"LPIPS by {BACKBONES[self.net].title}"
        if net == AUTO and self.available and self.net != "vgg":
            self.said += " (VGG-16, the paper's, is not on this machine: `semstream weights lpips vgg`)"

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

    def of_tensors(self, reference: Any, picture: Any) -> Any:
        """Distance of each of a batch of pictures, for training: gradients pass.

        Parameters
        ----------
        reference, picture : torch.Tensor (B, 3, H, W)
            In [0, 1]; on any device, where the network follows them.

        Returns
        -------
        torch.Tensor (B,)

        Raises
        ------
        LpipsError
            If LPIPS is not available, with the reason and the way out.
        """
        if self._model is None:
            raise LpipsError(self.reason)
        import torch

        self._model.to(reference.device)
        with torch.autocast(reference.device.type, enabled=False):  # differences of like features drown in bf16
            return self._model(reference.float(), picture.float(), normalize=True).flatten()


def find(net: str) -> Path | None:
    """The weights of a backbone, where SEMSTREAM_LPIPS_WEIGHTS points or in torch hub's cache, or None.

    Raises
    ------
    LpipsError
        If the variable names what is not there.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return _named(given, net, VARIABLE)
    cached = cached_file(net)
    return cached if cached.is_file() else None


def cached_file(net: str) -> Path:
    """Where `fetch` puts the weights of a backbone: torch hub's cache."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / _filename(net)


def fetch(net: str, url: str = "", progress: bool = False, timeout: float = 30.0) -> Path:
    """Fetch the weights of a backbone into torch hub's cache, unless they are there and whole.

    Parameters
    ----------
    net : {"vgg", "alex", "squeeze"}
        Backbone.
    url : str
        Another address of the same file; its sum must be the same.
    progress : bool
        Draw a progress bar on standard error.
    timeout : float
        Seconds without an answer after which it is given up.

    Raises
    ------
    LpipsError
        If they cannot be fetched or written, or are not whole; nothing is left behind then.
    """
    import torch

    target = cached_file(net)
    expected = target.stem.rsplit("-", 1)[1]  # the published names carry the start of the SHA-256
    url = url or BACKBONES[net].url
    before = socket.getdefaulttimeout()
    try:
        if target.is_file() and _sum(target).startswith(expected):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(timeout)  # torch.hub has no option for it
        torch.hub.download_url_to_file(url, str(target), expected, progress)
    except RuntimeError as error:  # torch.hub's word for a wrong sum
        raise LpipsError(f"{url}: what came is damaged, or another file ({error}); try again") from None
    except (URLError, TimeoutError, ConnectionError, HTTPException, ValueError) as error:
        raise LpipsError(f"{url} cannot be fetched ({error}); {_elsewhere(net)}") from None
    except OSError as error:
        raise LpipsError(
            f"{target.parent} cannot be written to ({error.strerror or error}); set TORCH_HOME to another folder, or "
            f"{_elsewhere(net)}"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return target


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _title(net: str) -> str:
    return f"LPIPS ({BACKBONES[net].title})" if net in BACKBONES else "LPIPS"


def _filename(net: str) -> str:
    return BACKBONES[net].url.rsplit("/", 1)[1]


def _elsewhere(net: str) -> str:
    return f"download {BACKBONES[net].url} elsewhere and set {VARIABLE} to the file"


def _way_out(net: str) -> str:
    sizes = {name: f"{backbone.megabytes} MB" for name, backbone in BACKBONES.items()}
    what = f"`semstream weights lpips {net}` fetches them ({sizes[net]})" if net in sizes else (
        f"`semstream weights lpips` fetches VGG-16 ({sizes['vgg']}), `semstream weights lpips squeeze` SqueezeNet "
        f"({sizes['squeeze']})"
    )  # fmt: skip
    return f"{what}, or set {VARIABLE} to a file of them"


def _named(given: str | Path, net: str, origin: str) -> Path | None:
    """The weights in a file or folder that the user has named."""
    path = Path(given).expanduser()
    if path.is_dir():
        path = path / _filename(net)
    elif path.is_file():
        return path
    if not path.is_file():
        raise LpipsError(f"{origin} names {path}, which is not there; {_way_out(net)}")
    return path


def _first_that_loads(net: str, weights_file: str | Path | None) -> tuple[str, Any]:
    """The backbone and the network, of the first file that has it."""
    refusals = []
    for name in BACKBONES if net == AUTO else (net,):
        try:
            path = _named(weights_file, name, "weights_file") if weights_file else find(name)
            if path is not None:
                return name, _load(name, path)
        except LpipsError as refusal:
            refusals.append(refusal)
    if refusals:
        raise refusals[0]
    raise LpipsError(f"no weights of its backbone are on this machine; {_way_out(net)}")


def _load(net: str, path: Path) -> Any:
    """LPIPS with every parameter taken from the two files."""
    import lpips
    import torch

    wrong = f"{path} holds no weights of {BACKBONES[net].title}"
    try:
        backbone = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a foreign or damaged file raises nearly anything
        raise LpipsError(f"{path} cannot be read (cut short, or no PyTorch file); {_way_out(net)}") from error
    if not isinstance(backbone, dict):
        raise LpipsError(f"{wrong}; {_way_out(net)}")
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
        raise LpipsError(f"{wrong}; {_way_out(net)}") from error
    return model.eval().requires_grad_(False)
