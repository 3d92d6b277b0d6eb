"""kill -9 at random moments over a sweep, restart, and compare the table with an undisturbed one.

python bench/kills.py [kills] [sweep.toml]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = Path(__file__).resolve().parents[1] / "examples/tiny/sweep.toml"


def main(kills: int, toml: Path) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "sweep.toml"
        settings.write_text(toml.read_text() + "\ncheckpoint_minutes = 0.002\n")
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        subprocess.run(command(settings, whole), check=True)
        done = 0
        while done < kills:
            process = subprocess.Popen(
                command(settings, broken), start_new_session=True, stdout=subprocess.DEVNULL
            )
            # Until a few more files have come; then a moment that no file tells.
            enough = files(broken) + rng.randrange(4)
            while process.poll() is None and files(broken) < enough:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.3))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                done += 1
            process.wait()
            cells = len(list((broken / "work").glob("*/done.json")))
            print(f"{done:3d}  {cells} cells done", flush=True)
            if (broken / "runs.csv").is_file():  # it got through: begin again
                assert (broken / "runs.csv").read_bytes() == (whole / "runs.csv").read_bytes()
                subprocess.run(["rm", "-r", str(broken)], check=True)
        subprocess.run(command(settings, broken), check=True)
        same = (broken / "runs.csv").read_bytes() == (whole / "runs.csv").read_bytes()
        print(f"{kills} kills; the tables are {'the same' if same else 'DIFFERENT'}")
        sys.exit(not same)


def files(out: Path) -> int:
    return len(list((out / "work").glob("*/*.*")))


def command(settings: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "bayeslaw", "sweep", str(settings), "--out", str(out)]


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 20,
        Path(sys.argv[2]) if len(sys.argv) > 2 else TINY,
    )
