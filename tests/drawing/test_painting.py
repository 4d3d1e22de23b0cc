"""A layout on paper: SVG, PNG, PDF; live numbers over it."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from semstream.drawing import Arrow, Box, Diagram, Layout, lay_out
from semstream.drawing.diagram import ADVANCE
from semstream.drawing.figure import DPI, FONT, painted
from semstream.drawing.style import LIGHT
from semstream.drawing.svg import Now, live_svg, svg

NAMES = ("source <&>", "a_very_long_name_of_a_block_that_nobody_shortens", "sink")


@pytest.fixture
def layout() -> Layout:
    boxes = tuple(Box(name, (name, "Class"), branch="b" if name != NAMES[0] else "") for name in NAMES)
    arrows = (Arrow(NAMES[0], NAMES[1], ("Image", "latest")), Arrow(NAMES[1], NAMES[2], dashed=True))
    return lay_out(Diagram("drawn", boxes, arrows))


def texts(text: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]


def test_svg_shows_every_name_label_and_branch_in_full(layout: Layout) -> None:
    found = texts(svg(layout))
    assert {*NAMES, "drawn", "Image", "latest", "b"} <= set(found)
    assert found.count("Class") == 3


def test_live_numbers_lie_over_what_stays(layout: Layout) -> None:
    still = svg(layout, title=False, numbered=True)
    now = Now({NAMES[2]: "3.0/s"}, {NAMES[2]: "#ff0000"}, {0: "q 2"}, [1])
    live = live_svg(layout, LIGHT, now)
    assert "Class" not in texts(still)
    assert "Image" not in texts(still)
    assert {"latest", *NAMES} <= set(texts(still))
    assert sorted(texts(live)) == ["3.0/s", "q 2"]
    assert "#ff0000" in live
    assert LIGHT.warning in live
    boxes = {ElementTree.fromstring(text).get("viewBox") for text in (still, live)}
    assert len(boxes) == 1


def test_png_has_two_pixels_a_point_and_pdf_is_one_page(layout: Layout) -> None:
    picture = Image.open(io.BytesIO(painted(layout)))
    assert picture.width == pytest.approx(layout.width * DPI / 72, abs=2)
    assert picture.height == pytest.approx(layout.height * DPI / 72, abs=2)
    assert len(set(picture.convert("RGB").resize((64, 64)).get_flattened_data())) > 10
    assert painted(layout, "pdf").startswith(b"%PDF")


def test_the_room_for_text_is_that_of_the_font() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    extent = TextPath((0, 0), "m" * 100, size=10, prop=FontProperties(family=FONT)).get_extents()
    assert 0.95 * ADVANCE < extent.width / 1000 <= ADVANCE
