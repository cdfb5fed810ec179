"""Many small files at once: each is proven, also when others fail or the connection is lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.remote_memory import MemoryConnection, MemoryConnector, MemoryFiles, MemoryServer
from uploader.errors import NetworkError, RemoteExists, RemoteMissing, RemoteRefused, UploaderError, WrongBytes
from uploader.remote.interface import SmallFile
from uploader.result import Evidence
from uploader.transfer.small_files import SmallPlaced, SmallUpload, place_small

HOME = "/home/user"
FILES = [SmallUpload(f"{HOME}/{name}", name.encode() * 100, 1_700_000_000) for name in ("a", "b", "c")]


class StoresWrongBytes(MemoryFiles):
    """Files that store wrong bytes of one file."""

    def write_all(self, files: Sequence[SmallFile]) -> list[RemoteRefused | None]:
        return super().write_all(
            [SmallFile(file.path, file.data[:-1] + b"!") if "/b." in file.path else file for file in files]
        )


class LosesReplies(MemoryFiles):
    """Files that lose the connection after the renames, before the replies."""

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> list[RemoteRefused | None]:
        done = super().rename_all(pairs)
        if pairs:
            raise NetworkError("the line was lost")
        return done


def connect(server: MemoryServer, files: type[MemoryFiles] = MemoryFiles) -> MemoryConnection:
    connection = MemoryConnector(server).connect()
    connection.files = files(connection, None)
    return connection


def words(results: list[SmallPlaced | UploaderError]) -> list[str]:
    return [str(result.evidence) if isinstance(result, SmallPlaced) else result.code for result in results]


@pytest.mark.parametrize(("hashes", "evidence"), [(True, Evidence.REMOTE_HASH), (False, Evidence.READ_BACK)])
def test_small_batch_places_proven_files_with_their_times(hashes: bool, evidence: Evidence) -> None:
    server = MemoryServer(hashes=hashes)
    results = place_small(connect(server), FILES)
    assert results == [SmallPlaced(evidence, 1_700_000_000)] * 3
    assert {path: bytes(data) for path, data in server.files.items()} == {file.path: file.data for file in FILES}


def test_small_batch_wrong_bytes_fail_only_their_file() -> None:
    server = MemoryServer()
    results = place_small(connect(server, StoresWrongBytes), FILES)
    assert words(results) == ["read-back", "hash", "read-back"]
    assert isinstance(results[1], WrongBytes)
    assert sorted(server.files) == [f"{HOME}/a", f"{HOME}/c"]


def test_small_batch_taken_name_is_compared() -> None:
    server = MemoryServer(files={f"{HOME}/a": bytearray(b"theirs"), f"{HOME}/b": bytearray(FILES[1].data)})
    results = place_small(connect(server), FILES)
    assert isinstance(results[0], RemoteExists)
    assert words(results)[1:] == ["read-back", "read-back"]
    assert server.files[f"{HOME}/a"] == b"theirs"
    assert sorted(server.files) == [file.path for file in FILES]


def test_small_batch_replaces_when_allowed() -> None:
    server = MemoryServer(files={f"{HOME}/a": bytearray(b"theirs")})
    assert words(place_small(connect(server), [SmallUpload(f"{HOME}/a", b"mine", 5, replace=True)])) == ["read-back"]
    assert server.files == {f"{HOME}/a": b"mine"}


def test_small_batch_lost_rename_replies_count_as_placed() -> None:
    server = MemoryServer()
    with pytest.raises(NetworkError):
        place_small(connect(server, LosesReplies), FILES)
    assert words(place_small(connect(server), FILES)) == ["read-back"] * 3
    assert sorted(server.files) == [file.path for file in FILES]


def test_small_batch_missing_folder_fails_only_its_file() -> None:
    server = MemoryServer()
    lost = SmallUpload("/nowhere/x", b"x", 5)
    results = place_small(connect(server), [FILES[0], lost])
    assert isinstance(results[0], SmallPlaced)
    assert isinstance(results[1], RemoteMissing)


def test_small_batch_shell_with_other_paths_reads_back() -> None:
    class OtherPaths(MemoryConnection):
        def hash_files(self, paths: Sequence[str]) -> list[str | None] | None:
            found = super().hash_files(paths)
            return (
                None
                if found is None
                else [None if "/b." in path else sha256 for path, sha256 in zip(paths, found, strict=True)]
            )

    server = MemoryServer(hashes=True)
    results = place_small(OtherPaths(server, None), FILES)
    assert words(results) == ["remote-hash", "read-back", "remote-hash"]
    assert bytes(server.files[f"{HOME}/b"]) == FILES[1].data
