"""Measure the time and memory of planning a sync: a tree of empty files. The server has half of them already.

    python -m benchmarks.planning [--files 100000]

Prints files, CPU seconds and the peak memory of the process in MiB (VmHWM of Linux). Fails above 10 s or 300 MiB, the
limits for 100,000 files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

_FOLDER = 500
_MOST_SECONDS, _MOST_MEBIBYTES = 10, 300

_PROGRAM = """
    import re, sys, time
    from pathlib import Path
    from uploader.commands.sync.decide import Answers, decide, questions
    from uploader.scan.filters import Filters
    from uploader.scan.local import scan
    from uploader.commands.sync.state import SyncOptions, SyncState
    from uploader.scan.tree import RemoteEntry, RemoteTree
    began = time.process_time()
    tree = scan(Path(sys.argv[1]), Filters(exclude=["*.tmp", "/other/"]))
    there = {key: RemoteEntry(key, here.size, here.mtime) for key, here in list(tree.files.items())[::2]}
    scene, wishes = SyncState("/root", sys.argv[1], tree, RemoteTree(there), {}), SyncOptions(delete=True)
    questions(scene, wishes)
    steps = decide(scene, wishes, Answers())
    seconds = time.process_time() - began
    # getrusage would count the memory of the parent process before exec, too.
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    print(len(steps), seconds, int(peak[1]) // 1024)
"""


def planned(folder: Path, files: int) -> tuple[int, float, int]:
    """Make that many files in a folder and plan their sync, in a process of its own.

    Return the number of steps, CPU seconds and MiB.
    """
    for number in range(files):
        inner = folder / f"folder {number // _FOLDER}"
        if number % _FOLDER == 0:
            inner.mkdir()
        os.close(os.open(inner / f"{number:06}.safetensors", os.O_CREAT))
    command = [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(folder)]
    steps, seconds, mebibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(steps), float(seconds), int(mebibytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        steps, seconds, mebibytes = planned(Path(folder), options.files)
    print(f"{steps:,} files planned in {seconds:.2f} s of CPU, {mebibytes} MiB")
    sys.exit(0 if seconds < _MOST_SECONDS and mebibytes < _MOST_MEBIBYTES else 1)


if __name__ == "__main__":
    main()
