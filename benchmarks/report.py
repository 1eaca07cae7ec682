"""How long a report takes to write, its size, and its first paint: python -m benchmarks.report RUN"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 5


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="path of a run's folder")
    run = str(Path(parser.parse_args(arguments).run).absolute())
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "report.html"
        seconds = [written(run, out) for _ in range(TIMES)]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"time to write: {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})")
        print(f"CPU time: {(used.ru_utime + used.ru_stime) / TIMES:.1f} s")
        print(f"size: {out.stat().st_size / 1e6:.1f} MB")
        painted = [first_paint(out) for _ in range(TIMES)]
        print(f"first contentful paint: {statistics.median(painted):.0f} ms ({min(painted):.0f} to {max(painted):.0f})")
    return 0


def written(run: str, out: Path) -> float:
    """Seconds that the whole command takes."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "tune.report", run, "--out", str(out)], check=True, capture_output=True)
    return time.monotonic() - began


def first_paint(page: Path) -> float:
    """Milliseconds to the first contentful paint, from disk, in a fresh Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page()
        shown.goto(page.as_uri())
        entries = "performance.getEntriesByName('first-contentful-paint')"
        shown.wait_for_function(f"{entries}.length")
        painted = float(shown.evaluate(f"{entries}[0].startTime"))
        browser.close()
    return painted


if __name__ == "__main__":
    sys.exit(main())
