"""Transfers of files, done safely. Nothing appears under a final name before its bytes are verified.

Upload.run (a local file, or a link that passes through this machine):
    look      what has the final name? the same bytes: keep them, other bytes: refuse or replace.
    resume    ask the server for the digests of the chunks that the upload record names; trust equal ones.
    send      ChunkQueue reads the source in order, and UploadWorkers send its chunks over several connections.
              ConnectionScaler adds connections while they pay. RollingHash hashes the part file at the same time.
    verify    Verifier compares the part file with the source. Wrong chunks are sent again, once.
    rename    rename.place gives the part file its final name in one step.

SmallFiles does the same for a batch of small files in a few round trips. Download fills a local part file from any
stream by RangeReaders; CachedDownload does that for a link. All tuning numbers are in TransferConfig."""

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
