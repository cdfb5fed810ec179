"""Every tuning number of a transfer, in one documented object."""

from __future__ import annotations

from dataclasses import dataclass

from uploader.transfer.chunks import CHUNK_BYTES


@dataclass(frozen=True)
class TransferConfig:
    """The tuning numbers of a transfer. Tests shrink them; nothing else sets them."""

    chunk_bytes: int = CHUNK_BYTES
    """Bytes of a chunk: the unit that is sent, acknowledged, recorded and proven."""
