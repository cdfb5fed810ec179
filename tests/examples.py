"""How many examples a law is tried with: $UPLOADER_HYPOTHESIS names the profile `dev`, `ci` or `nightly`."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

PROFILES = {"dev": 50, "ci": 100, "nightly": 1000}


def load_profile() -> None:
    """Load the profile for this run: `ci` where $CI is set, else `dev`, unless the environment names another."""
    set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache" / "hypothesis")
    for name, number in PROFILES.items():
        settings.register_profile(
            name,
            deadline=None,
            max_examples=number,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
    settings.load_profile(os.environ.get("UPLOADER_HYPOTHESIS") or ("ci" if os.environ.get("CI") else "dev"))


def examples(ci: int) -> int:
    """Return the number of examples for a law that has `ci` of them in CI: half as many in `dev`, 10 x in `nightly`."""
    return max(1, ci * settings().max_examples // PROFILES["ci"])
