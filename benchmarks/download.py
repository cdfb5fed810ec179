"""Compare the download of route `local` with aria2c with eight connections, in turn, on one link.

    python -m benchmarks.download                        1 GB at 100 ms and 500 Mbit/s, three rounds
    python -m benchmarks.download --mib 256 --rounds 1
    python -m benchmarks.download --loopback

Times are of whole processes, with start and first request. Only ours include the sha256 and the record of progress.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.site import Link, Site, loopback, on_far_host, why_no_link

_PORT = 8088
_BAR = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=954, help="the file's size in MiB (954: a GB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rtt", type=int, default=100)
    parser.add_argument("--mbit", type=int, default=500)
    parser.add_argument("--loopback", action="store_true", help="without a link")
    options = parser.parse_args()
    if not shutil.which("aria2c"):
        raise SystemExit("aria2c is not installed (apt install aria2)")
    link = None if options.loopback else Link(options.rtt, options.mbit)
    if link is not None and (reason := why_no_link()):
        raise SystemExit(f"this cannot run here: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        file = base / "model.safetensors"
        _write(file, options.mib)
        with on_far_host(link, base) if link else loopback(base) as site, _origin(site, file) as url:
            rows = _compare(url, base, file.stat().st_size, options.rounds)
        print(f"{file.stat().st_size:,} bytes; {link or 'loopback'}\n")
        _tell(rows, file.stat().st_size)


def _write(file: Path, mib: int) -> None:
    with file.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))


@contextmanager
def _origin(site: Site, file: Path) -> Iterator[str]:
    command = [*site.prefix, sys.executable, "-m", "benchmarks.origin", site.host, str(_PORT), str(file)]
    process = subprocess.Popen(command)
    try:
        time.sleep(1.0)  # the origin is another process; it has no signal for "I listen now"
        yield f"http://{site.host}:{_PORT}/{file.name}"
    finally:
        process.kill()
        process.wait()


def _ours(url: str, out: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.fetching", url, str(out)]


def _theirs(url: str, out: Path) -> list[str]:
    options = ["-q", "-x8", "-s8", "--file-allocation=none", "--allow-overwrite=true"]
    return ["aria2c", *options, "-d", str(out), "-o", "model.safetensors", url]


@dataclass
class Row:
    """One program: wall-clock and CPU seconds of each round, and the largest memory in KiB."""

    command: Callable[[str, Path], list[str]]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: int = 0


def _compare(url: str, base: Path, size: int, rounds: int) -> dict[str, Row]:
    rows = {"uploader": Row(_ours), "aria2c": Row(_theirs)}
    for _ in range(rounds):
        for name, row in rows.items():
            out = base / name
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            began = time.monotonic()
            process = subprocess.Popen(row.command(url, out), stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            row.seconds.append(time.monotonic() - began)
            row.cpu.append(usage.ru_utime + usage.ru_stime)
            row.memory = max(row.memory, usage.ru_maxrss)
            got = [path.stat().st_size for path in out.rglob("*model.safetensors")]
            if process.returncode or got != [size]:
                raise SystemExit(f"{name} failed ({process.returncode})")
    return rows


def _tell(rows: dict[str, Row], size: int) -> None:
    print("| program | median s | all s | Mbit/s | CPU s | peak MiB |")
    print("|---|---|---|---|---|---|")
    medians = {name: statistics.median(row.seconds) for name, row in rows.items()}
    for name, row in rows.items():
        each = " ".join(f"{value:.2f}" for value in row.seconds)
        rate, cpu = size * 8 / 1e6 / medians[name], statistics.median(row.cpu)
        print(f"| {name} | {medians[name]:.2f} | {each} | {rate:.0f} | {cpu:.2f} | {row.memory / 1024:.0f} |")
    ratio = medians["aria2c"] / medians["uploader"]
    print(f"\nuploader has {ratio:.2f} of aria2c's rate; the bar is {_BAR}: {'held' if ratio >= _BAR else 'MISSED'}")


if __name__ == "__main__":
    main()
