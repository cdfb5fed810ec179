"""One step, done safely: part file, resume, write, verify, rename."""

from uploader.transfer.errand import Errand, Terms
from uploader.transfer.feed import Retrying
from uploader.transfer.fetch import Fetch
from uploader.transfer.proof import Verify
from uploader.transfer.step import Job, Means, Result, Step

__all__ = ["Errand", "Fetch", "Job", "Means", "Result", "Retrying", "Step", "Terms", "Verify"]
