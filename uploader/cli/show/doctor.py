"""Print a diagnosis: a line per check, and what to do if it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.cli.terminal import print_answer

if TYPE_CHECKING:
    from uploader.api import Diagnosis

_MARKS = {"ok": "ok", "warning": "!", "failed": "FAILED", "skipped": "-"}


def print_diagnosis(diagnosis: Diagnosis, *, about_us: bool) -> None:
    """Print the checks. `about_us` adds the program and the system, for a reader elsewhere."""
    if about_us:
        import platform

        from uploader import __version__

        print_answer(
            f"uploader {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
        )
    width = max(len(check.name) for check in diagnosis.checks)
    for check in diagnosis.checks:
        print_answer(f"{_MARKS[check.state]:<6}  {check.name:<{width}}  {check.detail}")
        if check.remedy and check.state != "ok":
            print_answer(f"        {'':<{width}}  → {check.remedy}")
    bad = sum(check.state == "failed" for check in diagnosis.checks)
    print_answer(f"\n{diagnosis.target} is well." if not bad else f"\n{diagnosis.target}: {bad} of the checks failed.")
