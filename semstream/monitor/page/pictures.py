"""Sent, received and error pictures of every branch, side by side, each encoded once for all browsers."""

from __future__ import annotations

import base64
import html
import io
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.monitor.arrays import unpack_array

ERROR_GAIN = 4
SMALL = 96
"""Up to so many pixels a side a picture goes as PNG, without loss; above it as JPEG, at a quarter of the time."""
QUALITY = 93
WAIT_S = 1.5
"""So long the branches may take until all show the same frame; then what there is is shown."""


def branches(snapshot: dict[str, Any]) -> list[str]:
    """Branches of the link, by what shows their pictures, in the order of the flowgraph."""
    return [_branch(name) for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe"]


def _branch(view: str) -> str:
    return view.removesuffix(".view").removesuffix(".metrics")


class Pictures:
    """The pictures of a run as HTML: a column a branch, all of one frame."""

    def __init__(self) -> None:
        self._frames: list[Any] = []
        self._shown_at = 0.0
        self._html = ""

    def html(self, snapshot: dict[str, Any]) -> str:
        """The newest pictures; what was encoded before is not encoded again."""
        views = [name for name, block in snapshot["blocks"].items() if block["class"] == "PictureProbe"]
        values = {name: snapshot["shown"].get(name, {}).get("picture") for name in views}
        shown = {name: value for name, value in values.items() if value is not None}
        if not shown:
            return f"<p class=dim>{'nothing yet' if views else 'no picture probe in this flowgraph'}</p>"
        frames, now = [value["seq"] for value in shown.values()], time.monotonic()
        settled = len(set(frames)) == 1 and len(shown) == len(views)
        if frames == self._frames or not (settled or now - self._shown_at > WAIT_S):
            return self._html
        self._frames, self._shown_at = frames, now
        quality = {(record.get("branch"), record.get("seq")): record.get("psnr_db") for record in snapshot["last"]}
        columns: list[str] = []
        for name, value in shown.items():
            sent, received = unpack_array(value["sent"]), unpack_array(value["received"])
            if not columns:
                snr = value.get("snr_db")
                at = f", SNR {snr:g} dB" if isinstance(snr, (int, float)) else ""
                columns.append(_cell("sent", f"frame {value['seq']}{at}", sent))
            psnr = quality.get((_branch(name), value["seq"]))
            note = f"{psnr:.1f} dB" if isinstance(psnr, float) else "" if settled else f"frame {value['seq']}"
            error = np.minimum(np.abs(sent.astype(np.int16) - received) * ERROR_GAIN, 255).astype(np.uint8)
            columns.append(_cell(_branch(name), note, received) + _cell(f"error × {ERROR_GAIN}", "", error))
        self._html = f"<div class=pictures>{''.join(f'<div>{cells}</div>' for cells in columns)}</div>"
        return self._html


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
