"""What a file is, by its own first bytes: its container, kind, architecture, whether it is whole, and harmless."""

from uploader.identify.fit import choose_kind, remarks, warnings
from uploader.identify.identity import Container, Identity, Read, identify
from uploader.identify.pickles import PickleScan
from uploader.identify.refusal import refuse

__all__ = ["Container", "Identity", "PickleScan", "Read", "choose_kind", "identify", "refuse", "remarks", "warnings"]
