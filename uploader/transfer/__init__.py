"""One step, done safely: part file, resume, write, verify, rename."""

from uploader.transfer.bundle import Bundle, bundles, is_small
from uploader.transfer.errand import STOP_SECONDS, Errand, Terms
from uploader.transfer.feed import Retrying
from uploader.transfer.fetch import Fetch
from uploader.transfer.job import Job, Means, Result
from uploader.transfer.proof import Verify
from uploader.transfer.step import Step

__all__ = [
    "STOP_SECONDS",
    "Bundle",
    "Errand",
    "Fetch",
    "Job",
    "Means",
    "Result",
    "Retrying",
    "Step",
    "Terms",
    "Verify",
    "bundles",
    "is_small",
]
