"""Sent, received and error pictures of every branch, side by side, each encoded once for all browsers."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.monitor.arrays import unpack_array

ERROR_GAIN = 4
SMALL = 96
"""Up to so many pixels a side a picture goes as PNG, without loss; above it as JPEG, at a quarter of the time."""
QUALITY = 93


def branches(snapshot: dict[str, Any]) -> list[str]:
    """Branches of the link, by what shows their pictures, in the order of the flowgraph."""
    return [_branch(name) for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe"]


def _branch(view: str) -> str:
    return view.removesuffix(".view").removesuffix(".metrics")


class Pictures:
    """The pictures of a run as HTML."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}
        self._columns: dict[str, str] = {}
        self._sent = ""

    def html(self, snapshot: dict[str, Any]) -> str:
        """The newest pictures of a snapshot; what it has encoded before is not encoded again."""
        shown = {name: value["picture"] for name, value in snapshot["shown"].items() if "picture" in value}
        views = [name for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe"]
        if not any(name in shown for name in views):
            return f"<p class=dim>{'nothing yet' if views else 'no picture probe in this flowgraph'}</p>"
        quality = {(record.get("branch"), record.get("seq")): record.get("psnr_db") for record in snapshot["last"]}
        first = True
        for name in views:
            value = shown.get(name)
            if value is None:
                continue
            if self._seen.get(name) != value["seq"]:
                self._seen[name] = value["seq"]
                sent, received = unpack_array(value["sent"]), unpack_array(value["received"])
                if first:
                    snr = value.get("snr_db")
                    at = f", SNR {snr:g} dB" if isinstance(snr, (int, float)) else ""
                    self._sent = _column(_cell("sent", f"frame {value['seq']}{at}", sent))
                psnr = quality.get((_branch(name), value["seq"]))
                note = f"{psnr:.1f} dB" if isinstance(psnr, float) else f"frame {value['seq']}"
                error = np.minimum(np.abs(sent.astype(np.int16) - received) * ERROR_GAIN, 255).astype(np.uint8)
                cells = _cell(_branch(name), note, received) + _cell(f"error × {ERROR_GAIN}", "", error)
                self._columns[name] = _column(cells)
            first = False
        return f"<div class=pictures>{self._sent}{''.join(self._columns.values())}</div>"


def _column(cells: str) -> str:
    return f"<div>{cells}</div>"


def _cell(name: str, note: str, picture: NDArray[np.uint8]) -> str:
    caption = f"{html.escape(name)} <span class=dim>{html.escape(note)}</span>"
    return (
        f"<figure><img alt='{html.escape(name)}' src='{data_url(picture)}'><figcaption>{caption}</figcaption></figure>"
    )


def data_url(picture: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) uint8 as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    if max(picture.shape[:2]) <= SMALL:
        kind, options = "png", {"compress_level": 1}
    else:
        kind, options = "jpeg", {"quality": QUALITY, "subsampling": 0}
    Image.fromarray(picture).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
