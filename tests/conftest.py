"""Settings and fixtures shared by every test: one thread a process, so that results do not depend on the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

sys.path.insert(0, str(Path(__file__).parent))
pytest_plugins = ["codec_fixtures", "radio_fixtures"]
