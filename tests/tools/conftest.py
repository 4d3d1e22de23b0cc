"""Pictures and a simulator, for the tests of the evaluation."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from codec_fixtures import smooth_pictures
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[2]))

from tools.evaluation.simulate import Simulator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of 32×32, one of 40×24, one that is none."""
    path = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(smooth_pictures(3, 32)):
        Image.fromarray(picture).save(path / f"{i}.png")
    Image.fromarray(smooth_pictures(1, 40)[0][:24]).save(path / "3.png")
    (path / "4.png").write_bytes(b"no picture")
    return path


@pytest.fixture(scope="module")
def simulator(weights: Path) -> Simulator:
    return Simulator(str(weights), seed=3, precision="fp32")
