"""One step, done safely: part file, resume, write, verify, rename."""

from uploader.transfer.cached_download import CachedDownload
from uploader.transfer.context import TransferContext
from uploader.transfer.small_files import SmallFiles, is_small
from uploader.transfer.upload import Upload
from uploader.transfer.values import UploadJob, UploadResult
from uploader.transfer.verify import Verify

__all__ = [
    "CachedDownload",
    "SmallFiles",
    "TransferContext",
    "Upload",
    "UploadJob",
    "UploadResult",
    "Verify",
    "is_small",
]
