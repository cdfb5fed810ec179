"""Models of Civitai: which version and which file a reference means, what its answers mean, its search."""

from uploader.sources.civitai.api import download_door
from uploader.sources.civitai.resolve import resolve
from uploader.sources.civitai.search import KINDS, Hit, search

__all__ = ["KINDS", "Hit", "download_door", "resolve", "search"]
