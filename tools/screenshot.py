"""A picture of the live page, as the README shows it: runs a link with the page and photographs it in Chromium.

    python tools/screenshot.py --out .github/monitor.png
    python tools/screenshot.py --width 390 --height 844 --out narrow.png

Needs Chromium, ChromeDriver and selenium, none of which the project itself asks for.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This folder has a profile.py, the name of a standard module.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(p for p in sys.path if p and Path(p).resolve() != Path(__file__).resolve().parent)]

import argparse
import re
import shutil
import subprocess
import tempfile
import threading
import time

BRANCHES = 3  # of awgn_link.py; a sent and a received picture each at the last SNR


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("monitor.png"))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800, help="at least; grows to the whole page")
    parser.add_argument("--frames", type=int, default=400, help="frames that the link sends meanwhile")
    parser.add_argument("--channel", default="rayleigh")
    return parser.parse_args()


def photograph(address: str, options: argparse.Namespace, ready: threading.Event) -> None:
    """Open the page, wait until the link is far enough, write the picture."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    flags = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars")
    chrome = webdriver.ChromeOptions()
    for flag in (*flags, f"window-size={options.width},{options.height}"):
        chrome.add_argument(f"--{flag}")
    # Narrower than a window may be: as a telephone.
    metrics = {"width": options.width, "height": options.height, "deviceScaleFactor": 1, "mobile": options.width < 500}
    driver = webdriver.Chrome(options=chrome, service=Service(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(address)
        ready.wait(600)
        whole = int(driver.execute_script("return document.documentElement.scrollHeight"))
        metrics["height"] = max(options.height, whole)
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        time.sleep(2)  # the plots are drawn again in their new size
        options.out.parent.mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(options.out))
    finally:
        driver.quit()


def main() -> int:
    """Run the link, photograph its page."""
    options = arguments()
    if not shutil.which("chromedriver"):
        print("screenshot: no chromedriver on the path; Debian: apt install chromium chromium-driver", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(ROOT / "flowgraphs" / "awgn_link.py"), "--size", "96", "--frames", str(options.frames),
            "--channel", options.channel, "--lpips", "off", "--monitor", "auto", "--control", "--out", folder,
        ]  # fmt: skip
        link = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        ready = threading.Event()
        assert link.stdout is not None
        for line in link.stdout:
            found = re.search(r"http://\S+", line)
            if found:
                address = found.group()
                break
        else:
            print("screenshot: the link did not start", file=sys.stderr)
            return 1
        done = threading.Thread(target=photograph, args=(address, options, ready))
        done.start()
        snapshots = Path(folder) / "snapshots"
        while link.poll() is None and len(list(snapshots.glob("*_13_*"))) < 2 * BRANCHES:
            time.sleep(0.2)
        time.sleep(20)  # the sweep comes to all its SNRs a few times
        ready.set()
        done.join()
        link.terminate()
        link.wait()
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
