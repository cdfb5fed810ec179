"""Every tuning number of a transfer, in one documented object."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class TransferConfig:
    """The tuning numbers of a transfer. Tests shrink them; nothing else sets them."""

    # chunks -------------------------------------------------------------------------------------------

    chunk_bytes: int = 4 * MIB
    """Bytes of a chunk: the unit that is sent, acknowledged, recorded and verified. A lost connection costs one."""

    chunks_ahead: int = 3
    """Chunks that are read before a worker takes them. Reading and hashing then overlap with sending."""

    # upload -------------------------------------------------------------------------------------------

    window_bytes: int = 4 * MIB
    """Bytes in flight on one connection. Twice OpenSSH's channel window, so that ours is never the limit."""

    least_write_bytes: int = 32 * KIB
    """Bytes of the first writes of a connection, as its speed is unknown then."""

    write_seconds: float = 5.0
    """Seconds whose throughput one write may carry. A server acknowledges whole writes only; a slower write would look
    like a lost connection."""

    restat_bytes: int = 4 * MIB
    """From this size on, the part file's size is checked again before it gets its name. One round trip is little
    beside the sending of so much."""

    # connections --------------------------------------------------------------------------------------

    first_connections: int = 2
    """Connections that an upload begins with. More join when the line proves fast enough."""

    line_bytes_per_second: float = 80e6
    """Rate that the first number of connections is made for: 640 Mbit/s. More than the line needs fill the queues on
    the way, and what is lost there is sent again."""

    least_bytes_per_second: int = 16 * KIB
    """Rate that each connection must reach. On a slower line each waits so long for the answer to one write that it
    seems to be lost."""

    rate_bytes: int = 96 * KIB
    """Acknowledged bytes that show the rate of a line: three of the first writes."""

    rate_seconds: float = 3.0
    """Seconds after which the measurement of that rate begins again."""

    scale_seconds: float = 1.0
    """Shortest time between two decisions to add a connection. TCP needs it to find its speed."""

    scale_round_trips: int = 8
    """The same in round trips, for long lines."""

    scale_growth: float = 1.04
    """Growth of the rate that the last added connection must bring before another one is added."""

    scale_window_share: float = 0.6
    """Share of the channel window per round trip from which the window seems to limit a connection."""

    look_seconds: float = 0.25
    """Seconds between two looks at the rate."""

    hurried_look_seconds: float = 0.03
    """The same while connections are open already and only wait to be used."""

    # verification -------------------------------------------------------------------------------------

    read_back_bytes: int = 128 * MIB
    """Largest file that is read back as a whole when the server cannot hash it. Larger ones are sampled."""

    sample_count: int = 8
    """Random chunks of a sample, beside the first and the last one."""

    hash_batch: int = 32
    """Chunks that one command on the server hashes. More of them would be silent for too long."""

    compare_files: int = 500
    """Files that are compared with one command on the server."""

    compare_bytes: int = 32 * MIB
    """Bytes of the files that are compared with one command."""

    # small files --------------------------------------------------------------------------------------

    small_bytes: int = 1 * MIB
    """Largest file that a push sends together with others."""

    batch_files: int = 1000
    """Files that one batch of a push holds."""

    batch_bytes: int = 4 * MIB
    """Bytes that one batch of a push holds: they are in memory."""

    batches_in_flight: int = 3
    """Batches that are sent at once: each waits for the line most of the time."""

    sync_batch_files: int = 512
    """Files that one batch of a sync holds."""

    sync_batch_bytes: int = 8 * MIB
    """Bytes that one batch of a sync holds. Files below a chunk go together, as there is nothing to resume."""

    # reading of links ---------------------------------------------------------------------------------

    most_readers: int = 8
    """Requests of one source at once. Stores refuse more, or take them for an attack."""

    first_readers: int = 2
    """Requests to begin with. More of them join while the rate grows."""

    ranges_from_bytes: int = 8 * MIB
    """Size from which a source is read by ranges. One plain request reads less before a second one has begun."""

    range_bytes: int = 4 * MIB
    """Bytes of one range that is read ahead. The round trip before it costs little at this size."""

    ranges_held: int = 10
    """Ranges that are read ahead or wait for the sending: 40 MiB of memory."""

    reader_look_seconds: float = 0.3
    """Seconds between two looks at the rate of the readers."""

    reader_growth: float = 1.08
    """Growth of the rate that adds two more readers."""

    reader_looks: int = 3
    """Looks without growth after which no reader is added any more."""

    reader_join_seconds: float = 5.0
    """Longest wait for a reader whose server does not answer."""

    # download -----------------------------------------------------------------------------------------

    least_range_chunks: int = 2
    """Fewest chunks of one downloaded range."""

    most_range_chunks: int = 16
    """Most chunks of one downloaded range. Long ones cost few requests; short ones let all readers end together."""

    hash_block_bytes: int = 1 * MIB
    """Bytes that are read at once from a part file to hash it."""
