"""What a connection can do, declared by each kind of remote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Abilities:
    """What one connection can do. A caller asks here, and never for a class or a provider's name."""

    shell: bool = False
    """It runs programs: `Connection.shell` is there."""
    hash: bool = False
    """It takes the sha256 of a file there: `Connection.hashes` has a tool, as far as can be known beforehand."""
    server_copy: bool = False
    """It copies or links a file there: `Connection.duplicate` has a way."""
