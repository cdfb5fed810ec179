"""Models of Civitai: the version and file that a reference means, the errors, the search."""

from uploader.sources.civitai.api import download_scope
from uploader.sources.civitai.resolve import resolve
from uploader.sources.civitai.search import KINDS, Hit, search

__all__ = ["KINDS", "Hit", "download_scope", "resolve", "search"]
