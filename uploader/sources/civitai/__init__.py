"""Models of Civitai: which version and which file a reference means, what its answers mean, its search."""

from uploader.sources.civitai.catalogue import download_door
from uploader.sources.civitai.resolving import resolve
from uploader.sources.civitai.searching import KINDS, Hit, search

__all__ = ["KINDS", "Hit", "download_door", "resolve", "search"]
