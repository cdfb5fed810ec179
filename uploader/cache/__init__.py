"""The downloads of route `local` that stay on this disk: found by what they are, held to a size, oldest first out."""

from uploader.cache.entries import Entry, State
from uploader.cache.limit import limit_of
from uploader.cache.store import Cache, Hold

__all__ = ["Cache", "Entry", "Hold", "State", "limit_of"]
