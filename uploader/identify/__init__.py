"""What a file is, by its own first bytes: its container, kind, architecture, and whether it is whole."""

from uploader.identify.identity import Container, Identity, Read, identify
from uploader.identify.refusal import refuse

__all__ = ["Container", "Identity", "Read", "identify", "refuse"]
