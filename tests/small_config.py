"""Tuning numbers under which a small file behaves as a large one does for users."""

from __future__ import annotations

from uploader.transfer.config import KIB, TransferConfig

SMALL = TransferConfig(
    chunk_bytes=64 * KIB,
    window_bytes=64 * KIB,
    least_write_bytes=8 * KIB,
    restat_bytes=64 * KIB,
    read_back_bytes=2048 * KIB,
    small_bytes=32 * KIB,
    batch_bytes=128 * KIB,
    sync_batch_bytes=128 * KIB,
    ranges_from_bytes=128 * KIB,
    range_bytes=64 * KIB,
    hash_block_bytes=16 * KIB,
)
"""Sizes are a 64th of the real ones, those of small files a 32nd. Numbers of chunks and connections are real."""
