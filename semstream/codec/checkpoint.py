"""Weights on disk: safetensors with the configuration and the profile in one file.

Parameters are stored in fp16 (or fp32 while training), the profile's arrays under ``profile.``, and what must not be
lost about the weights (configuration, steps, data, numbers) as JSON in the file's metadata. Nothing is ever unpickled.

A file may hold a decoder alone (`save_decoder`); the rest comes from the weights that it names, beside it or shipped.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semstream.codec.config import CodecConfig, ConfigError
from semstream.codec.decoder_part import decoder_part, sum_of_the_rest

if TYPE_CHECKING:
    from semstream.codec.codec import SemanticCodec
    from semstream.codec.profile import Profile

DEFAULT_WEIGHTS = "swin-c32"
"""Name of the weights that are shipped and used where none are named."""

_PROFILE = "profile."
_DECODER_OF, _ENCODER_SUM = "decoder_of", "encoder_sum"
_NAME = re.compile(r"(?!\.+$)[^/\\\0]{1,60}")  # of a file in any folder


class WeightsError(ValueError):
    """A weights file that cannot be used: says which file, what was expected, what came and the way out."""


class Loaded(NamedTuple):
    """A codec in evaluation mode, its profile (None before `tools/profile.py` ran) and the file's metadata."""

    codec: SemanticCodec
    profile: Profile | None
    metadata: dict[str, str]


def weights_path(name: str = "") -> Path:
    """Path of weights by name ("" for the default, a name as in `semstream/weights/`, or a path to a file).

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    folder = _shipped()
    # What cannot be a path at all is no file either: a zero, a user that there is not, a name too long.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        shipped = folder / f"{name or DEFAULT_WEIGHTS}.safetensors"
        if shipped.is_file():
            return shipped
        path = Path(name).expanduser()
        if path.is_file():
            return path
    names = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors"))) or "none"
    raise WeightsError(
        f"weights {(name or DEFAULT_WEIGHTS)[:200]!r}: no such file, and not among the shipped weights ({names}); "
        "name one of these, give a path, or train with tools/train.py"
    )


@cache
def _shipped() -> Path:
    return Path(__file__).resolve().parent.parent / "weights"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and metadata; of a decoder alone, with what it shares with the weights that it belongs to."""
    tensors, metadata = _read_alone(path)
    name = metadata.get(_DECODER_OF)
    if name is None:
        return tensors, metadata
    if not _NAME.fullmatch(name):
        raise WeightsError(f"weights {path}: a decoder of {name[:100]!r}, which is no name of weights; train it again")
    beside = path.with_name(f"{name}.safetensors")
    try:
        whole = beside if beside.is_file() and beside != path else weights_path(name)
    except WeightsError as error:
        raise WeightsError(f"weights {path}: hold a decoder alone, put its encoder beside it; {error}") from None
    shared, facts = _read_alone(whole)
    if _DECODER_OF in facts:
        raise WeightsError(f"weights {path}: a decoder of {name!r}, which is a decoder alone itself; train it again")
    configs = [_config(p, m.get("config", "{}")) for p, m in ((path, metadata), (whole, facts))]
    if configs[0] != configs[1] or metadata.get(_ENCODER_SUM) != sum_of_the_rest(_codec(shared)):
        raise WeightsError(
            f"weights {path}: a decoder of other weights than {whole}, which have changed since; train it again, or "
            "put those that it was trained with beside it"
        )
    return shared | decoder_part(tensors), facts | metadata


def _codec(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tensors.items() if not key.startswith(_PROFILE)}


def _read_alone(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"weights {path}: not a whole safetensors file ({error}); fetch or train it again") from None
    except (TypeError, AttributeError) as error:  # a dtype that NumPy has not: bfloat16, float8
        raise WeightsError(
            f"weights {path}: a tensor's type is not known here ({error}); save it in fp16 or fp32"
        ) from None


def load(name: str = "", device: str = "cpu", *, with_profile: bool = True) -> Loaded:
    """Load a codec and its profile.

    Parameters
    ----------
    name
        As for `weights_path`.
    device
        PyTorch device of the codec.
    with_profile
        Whether to read the profile; not where it is to be measured anew, whatever is wrong with it.

    Raises
    ------
    WeightsError
        If the file is missing, cut short, or of another shape than its configuration says.
    """
    import torch

    from semstream.codec.codec import SemanticCodec

    path = weights_path(name)
    tensors, metadata = _read(path)
    if "config" not in metadata:
        raise WeightsError(f"weights {path}: no codec configuration in the file's metadata; not made by tools/train.py")
    config = _config(path, metadata["config"])
    if sum(value.size for value in tensors.values()) < config.least_parameters:  # before memory is taken for it
        raise WeightsError(
            f"weights {path}: a codec of this configuration has {config.least_parameters} parameters or more, which is "
            "more than the file holds; it does not belong to the configuration that it names"
        )
    codec = SemanticCodec(config)
    expected = codec.state_dict()
    given = _codec(tensors)
    for key in sorted(expected.keys() | given.keys()):
        want = tuple(expected[key].shape) if key in expected else None
        got = tuple(given[key].shape) if key in given else None
        if want != got:
            raise WeightsError(
                f"weights {path}: tensor {key!r} should be {want or 'absent'}, is {got or 'absent'}; "
                "the file does not belong to the configuration that it names"
            )
        if not np.isfinite(given[key]).all():
            raise WeightsError(f"weights {path}: tensor {key!r} holds values that are not finite; train it again")
    codec.load_state_dict({key: torch.from_numpy(np.array(value, dtype=np.float32)) for key, value in given.items()})
    codec.eval().requires_grad_(False).to(device)
    profile = _profile(path, tensors, codec.config.channels) if with_profile else None
    return Loaded(codec, profile, metadata)


def load_profile(name: str = "") -> tuple[Profile, dict[str, str]]:
    """Load the profile alone, without importing PyTorch.

    Raises
    ------
    WeightsError
        As for `load`, and if the weights have no profile yet.
    """
    path = weights_path(name)
    tensors, metadata = _read(path)
    config = _config(path, metadata.get("config", "{}"))
    profile = _profile(path, tensors, config.channels)
    if profile is None:
        raise WeightsError(f"weights {path}: no profile in the file; run tools/profile.py on it")
    return profile, metadata


def _config(path: Path, text: str) -> CodecConfig:
    try:
        return CodecConfig.from_json(text)
    except ConfigError as error:
        raise WeightsError(f"weights {path}: {error}") from None


def _profile(path: Path, tensors: Mapping[str, Any], channels: int) -> Profile | None:
    from semstream.codec.profile import Profile, ProfileError

    arrays = {key.removeprefix(_PROFILE): value for key, value in tensors.items() if key.startswith(_PROFILE)}
    if not arrays:
        return None
    try:
        return Profile.from_arrays(arrays, channels)
    except ProfileError as error:
        raise WeightsError(f"weights {path}: {error}; run tools/profile.py on it again") from None


def save(
    path: Path, codec: SemanticCodec, profile: Profile | None = None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write weights in fp16 with their profile, atomically.

    Parameters
    ----------
    path
        File to write.
    codec, profile
        What to write.
    metadata
        Facts to keep with the weights (steps, data, numbers); values are written as JSON, strings as they are.
    """
    arrays = _arrays(codec)
    if profile is not None:
        arrays |= {_PROFILE + key: value for key, value in profile.to_arrays().items()}
    _write(path, arrays, codec, metadata or {})


def save_decoder(path: Path, codec: SemanticCodec, of: str, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the decoder alone, for the encoder and the profile of other weights.

    Parameters
    ----------
    path
        File to write.
    codec
        Whose decoder to write. All else in it is as in the weights `of`.
    of
        Those weights, as for `weights_path`. They are found by their name when the decoder is loaded: keep them beside
        it unless they are shipped.
    metadata
        As for `save`.

    Raises
    ------
    WeightsError
        As for `load`, about the weights `of`.
    """
    whole = weights_path(of)
    if not _NAME.fullmatch(whole.stem):
        raise WeightsError(f"weights {whole}: the name is too long for a decoder to be found by; rename the file")
    tensors, facts = _read(whole)
    belongs = {_DECODER_OF: facts.get(_DECODER_OF, whole.stem), _ENCODER_SUM: sum_of_the_rest(_codec(tensors))}
    _write(path, decoder_part(_arrays(codec)), codec, dict(metadata or {}) | belongs)


def _arrays(codec: SemanticCodec) -> dict[str, Any]:
    return {key: value.detach().cpu().numpy().astype(np.float16) for key, value in codec.state_dict().items()}


def _write(path: Path, arrays: Mapping[str, Any], codec: SemanticCodec, metadata: Mapping[str, Any]) -> None:
    from safetensors.numpy import save_file

    facts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(
        {k: np.ascontiguousarray(v) for k, v in arrays.items()}, partial, facts | {"config": codec.config.to_json()}
    )
    partial.replace(path)
