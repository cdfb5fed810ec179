"""Downloads that a server does by itself: this machine starts and watches them, and no byte passes through it.

The main path, in `run.ServerDownload.run`:

    file at the final name has the same bytes -> remove what a former download left, return "kept"
    status, size = look(shell, key)             # one job a part file; its state is in ~/.uploader/KEY on the server
    running -> join it
    ended, whole -> go on to the proof
    else -> ask the source for a fresh link, start(shell, key, order, downloader)
    until the part is whole: poll the status; start again while each start adds bytes
    refuse a part whose header is no model; prove its bytes; rename it; clear(shell, key)

`downloaders` has one module for each program that can download there. `programs` has the shell programs that start,
watch and stop it. `job` runs them. `errors` turns an exit code into an error. `verify` proves a part on the server.
"""

from uploader.server_download.errors import (
    EXPIRED,
    FULL_BYTES,
    certificate_fault,
    disk_fault,
    fault_of,
    other_answer,
    trouble_of,
)
from uploader.server_download.job import (
    REWIND_BYTES,
    JobStatus,
    clear,
    diagnose,
    elsewhere,
    key_of,
    look,
    start,
    stop,
    survey,
    why_unable,
)
from uploader.state.jobs import JobRecord, JobRecords
from uploader.state.servers import ServerFactsStore, ServerTools

__all__ = [
    "EXPIRED",
    "FULL_BYTES",
    "REWIND_BYTES",
    "JobRecord",
    "JobRecords",
    "JobStatus",
    "ServerFactsStore",
    "ServerTools",
    "certificate_fault",
    "clear",
    "diagnose",
    "disk_fault",
    "elsewhere",
    "fault_of",
    "key_of",
    "look",
    "other_answer",
    "start",
    "stop",
    "survey",
    "trouble_of",
    "why_unable",
]
