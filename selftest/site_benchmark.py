"""Measures how long the pages of many large records take: `python -m selftest.site_benchmark`.

The aim is under 3 seconds for 10 records of 500 cells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reports.record import write_record
from selftest.records import large_record


def main() -> None:
    """Write records, build their pages in a process of its own, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--times", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.json" for number in range(chosen.records)]
        for number, path in enumerate(paths):
            write_record(path, large_record(chosen.cells, keras=f"3.{number}.0"))
        read = sum(path.stat().st_size for path in paths) / 2**20
        print(f"{chosen.records} records of {chosen.cells} cells, {read:.1f} MB")
        command = [sys.executable, "-m", "reports", "site", *map(str, paths)]
        for number in range(chosen.times):
            out = folder / f"pages-{number}"
            started = time.perf_counter()
            subprocess.run([*command, "--out", out], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - started
            written = sum(path.stat().st_size for path in out.iterdir()) / 2**20
            print(f"{seconds:.2f} s, {written:.1f} MB of pages")


if __name__ == "__main__":
    main()
