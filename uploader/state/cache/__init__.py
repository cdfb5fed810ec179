"""The downloads of route `local` that stay on this disk. The one that was not used longest goes first."""

from uploader.state.cache.entries import Entry, State
from uploader.state.cache.limit import limit_of
from uploader.state.cache.store import Cache, CacheLease

__all__ = ["Cache", "CacheLease", "Entry", "State", "limit_of"]
