from __future__ import annotations

import subprocess
import sys


def test_the_room_needs_neither_the_runtime_nor_zmq_and_mostly_not_torch() -> None:
    modules = "allocation classes dequantize fixed_point knapsack lloyd_max packing quantizer"
    script = (
        f"import sys\nfor m in '{modules}'.split(): __import__('semstream.quantize.' + m)\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "import semstream.quantize.contribution, semstream.quantize.straight_through\n"
        "bad = [m for m in sys.modules if m.startswith(('zmq', 'blocks', 'semstream.runtime'))]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
