"""The downloads of route `local` that stay on this disk: found by what they are, held to a size, oldest first out."""

from uploader.state.cache.entries import Entry, State
from uploader.state.cache.limit import limit_of
from uploader.state.cache.store import Cache, CacheLease

__all__ = ["Cache", "CacheLease", "Entry", "State", "limit_of"]
