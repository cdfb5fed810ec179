"""What a file is by its own bytes: its container, kind and architecture, and whether it is complete and harmless."""

from uploader.identify.identity import Container, Identity, Read, identify
from uploader.identify.pickles import PickleScan
from uploader.identify.refusal import refuse
from uploader.identify.webui_fit import choose_kind, remarks, warnings

__all__ = ["Container", "Identity", "PickleScan", "Read", "choose_kind", "identify", "refuse", "remarks", "warnings"]
