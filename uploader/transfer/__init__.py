"""One step, done safely: part file, resume, write, verify, rename."""

from uploader.retry import Retrying
from uploader.transfer.cached_download import Fetch
from uploader.transfer.context import Means
from uploader.transfer.small_files import Bundle, bundles, is_small
from uploader.transfer.upload import Step
from uploader.transfer.values import Job, Result
from uploader.transfer.verify import Verify

__all__ = [
    "Bundle",
    "Fetch",
    "Job",
    "Means",
    "Result",
    "Retrying",
    "Step",
    "Verify",
    "bundles",
    "is_small",
]
