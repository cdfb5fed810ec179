"""Compare this program with its peers, in turn, on one machine.

    python -m benchmarks                      all cases, three rounds
    python -m benchmarks --case wan100        one case
    python -m benchmarks --rounds 5 --peer uploader --peer sftp

Prints one table for each case and writes it into benchmarks/RESULTS.md, where it replaces the earlier one of the case.
Times are of whole processes, with start and connecting. Those of this program and rclone include the verification.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import PEERS, Peer, iperf
from benchmarks.site import Link, Site, loopback, on_far_host, why_no_link
from tests.servers.models import write_safetensors

_RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Case:
    """One case to measure. `mib` is the size of the file in MiB. `small` is a number of files of 8 KiB instead.

    `again` measures a second push. `sync` measures a sync of the whole folder. `pull` downloads files from the site.
    """

    name: str
    link: Link | None
    mib: int = 1024
    small: int = 0
    again: bool = False
    sync: bool = False
    pull: bool = False

    def __str__(self) -> str:
        what = f"{self.small} files of 8 KiB" if self.small else f"{self.mib} MiB"
        how = ", synced" if self.sync else ", pulled" if self.pull else ""
        return f"{what}{how}{', already there' if self.again else ''}; {self.link or 'loopback'}"


CASES = (
    Case("loopback", None, 1536),
    Case("wan20", Link(20, 1000)),
    Case("wan100", Link(100, 500)),
    Case("wan150", Link(150, 300, 50)),
    Case("wan250", Link(250, 100)),
    Case("small100", Link(100, 500), small=500),
    Case("again100", Link(100, 500), again=True),
    Case("sync100", Link(100, 500), small=500, sync=True),
    Case("noop100", Link(100, 500), small=1000, again=True, sync=True),
    Case("pull100", Link(100, 500), pull=True),
)


@dataclass
class Row:
    """One program in one case: seconds and CPU seconds on this machine of each round."""

    peer: Peer
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: int = 0
    fault: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peers = [peer for peer in PEERS if not options.peer or peer.name in options.peer]
    for peer in peers:
        if peer.missing():
            print(f"{peer.name} is not installed ({peer.install}); it is left out")
    peers = [peer for peer in peers if not peer.missing()]
    print(_about(peers))
    for case in CASES:
        if options.case and case.name not in options.case:
            continue
        if case.link is not None and (reason := why_no_link()):
            print(f"{case.name} cannot run here: {reason}")
            continue
        section = _run(case, peers, options.rounds)
        print(f"\n{section}", flush=True)
        _write(case, f"{section}\n{_about(peers)}")


def _write(case: Case, section: str) -> None:
    """Write the section of a case into the results, in the order of the cases."""
    kept = _RESULTS.read_text("utf-8").split("\n## ")[1:] if _RESULTS.exists() else []
    found = {text.partition(":")[0]: text.rstrip() for text in kept}
    found[case.name] = section.removeprefix("## ").rstrip()
    known = [one.name for one in CASES if one.name in found]
    known += [name for name in found if name not in known]  # sections that were written by hand
    _RESULTS.write_text("# Results\n" + "".join(f"\n## {found[name]}\n" for name in known), "utf-8")


def _about(peers: list[Peer]) -> str:
    versions = "; ".join(f"{peer.name}: {peer.version()}" for peer in peers)
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; {machine}; {versions}\n"


def _run(case: Case, peers: list[Peer], rounds: int) -> str:
    with tempfile.TemporaryDirectory() as folder, _site(case, Path(folder)) as site:
        base = Path(folder)
        files = _files(case, base)
        limit = iperf(site) if case.link else None
        rows = [Row(peer) for peer in peers]
        environments = {row.peer.name: _prepared(row.peer, site, base) for row in rows}
        for _ in range(rounds):
            for row in rows:
                if row.fault is None:
                    _once(case, row, site, files, environments[row.peer.name])
    return _table(case, rows, limit)


@contextmanager
def _site(case: Case, base: Path) -> Iterator[Site]:
    with on_far_host(case.link, base) if case.link else loopback(base) as site:
        yield site


def _files(case: Case, base: Path) -> list[Path]:
    folder = base / "files"
    folder.mkdir()
    if not case.small:
        write_safetensors(folder / "model.safetensors", "checkpoint", case.mib << 20)
    for number in range(case.small):
        write_safetensors(folder / f"lora{number:03}.safetensors", "checkpoint", 8192, seed=number)
    return sorted(folder.iterdir())


def _prepared(peer: Peer, site: Site, base: Path) -> dict[str, str]:
    site.clear()
    state = base / f"state-{peer.name}"
    state.mkdir()
    return {**os.environ, **peer.prepare(site, state)}


def _command(case: Case, peer: Peer, site: Site, files: list[Path], got: Path) -> list[str] | None:
    if case.pull:
        return peer.pull(site, got)
    if case.sync:
        return peer.sync(site, files[0].parent)
    return peer.many(site, files[0].parent) if case.small else peer.command(site, files)


def _once(case: Case, row: Row, site: Site, files: list[Path], environment: dict[str, str]) -> None:
    got = site.folder
    site.clear()
    if case.pull:
        got = files[0].parent.parent / "got"
        shutil.rmtree(got, ignore_errors=True)
        got.mkdir()
        for path in files:
            shutil.copy(path, site.folder)
    command = _command(case, row.peer, site, files, got)
    if command is None:
        row.fault = "has no way to do this"
        return
    if case.again:
        subprocess.run(command, env=environment, check=False, capture_output=True)
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stderr:
        process.stderr.close()
    there = sorted(got.iterdir())
    if process.returncode or [path.stat().st_size for path in there] != [path.stat().st_size for path in files]:
        row.fault = f"failed ({process.returncode}): {said.decode(errors='replace')[-200:].strip()!r}"
        return
    row.seconds.append(time.monotonic() - began)
    row.cpu.append(usage.ru_utime + usage.ru_stime)
    row.memory = max(row.memory, usage.ru_maxrss)


def _table(case: Case, rows: list[Row], limit: float | None) -> str:
    lines = [f"## {case.name}: {case}", ""]
    if limit is not None:
        lines += [f"iperf3, 8 streams: {limit:.0f} Mbit/s", ""]
    lines += [
        "| program | median s | all s | Mbit/s | of iperf3 | uploader is faster by | CPU s | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ours = next((statistics.median(row.seconds) for row in rows if row.peer.name == "uploader" and row.seconds), None)
    payload = (case.small * 8192 if case.small else case.mib << 20) * 8 / 1e6
    for row in rows:
        if not row.seconds:
            lines.append(f"| {row.peer.name} | {row.fault} | | | | | | |")
            continue
        median = statistics.median(row.seconds)
        rate = payload / median
        lines.append(
            f"| {row.peer.name} | {median:.2f} | {' '.join(f'{value:.2f}' for value in row.seconds)} | {rate:.0f} | "
            f"{f'{rate / limit:.2f}' if limit else ''} | {f'{median / ours:.2f} x' if ours else ''} | "
            f"{statistics.median(row.cpu):.2f} | {row.memory / 1024:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
