from __future__ import annotations

import numpy as np
import pytest

from semstream.quantize.lloyd_max import Codebooks, fit_codebooks
from semstream.quantize.quantizer import LloydMax

SPREADS = np.array([0.2, 0.7, 1.0, 1.9])


@pytest.fixture(scope="session")
def samples() -> np.ndarray:
    """Laplacian calibration features (20000, 4) of unequal spread."""
    drawn: np.ndarray = np.random.default_rng(7).laplace(size=(20000, SPREADS.size)) * SPREADS / np.sqrt(2)
    return drawn


@pytest.fixture(scope="session")
def codebooks(samples: np.ndarray) -> Codebooks:
    return fit_codebooks(samples)


@pytest.fixture
def quantizer(codebooks: Codebooks) -> LloydMax:
    return LloydMax(codebooks)
