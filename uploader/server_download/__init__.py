"""Downloads that a server does by itself: started there, watched, proven, remembered here."""

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
