"""The words of all plans: the route of the bytes, and what is done with a file."""

from __future__ import annotations

from enum import StrEnum


class Route(StrEnum):
    """How the bytes travel: from this disk, through this machine's memory alone, or not by way of it at all."""

    LOCAL = "local"
    RELAY = "relay"
    SERVER = "server"


class Action(StrEnum):
    """What a step will do. `compare`: the name is there, with the same size as far as that is known; bytes decide."""

    SEND = "send"
    RESUME = "resume"
    COMPARE = "compare"
    REPLACE = "replace"
    REFUSE = "refuse"
