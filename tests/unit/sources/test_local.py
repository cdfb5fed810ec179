from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.models import safetensors, write_safetensors
from uploader.artifact import LocalFile
from uploader.errors import NotAModel, Several, SourceChanged, SourceMissing, SourceRefused, UsageError
from uploader.reference import PathReference
from uploader.sources import local


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Root reads everything; for a moment this process is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds and permissions")


def resolve(path: Path | str) -> list[str]:
    return [artifact.name for artifact in local.resolve(PathReference(str(path)))]


@pytest.mark.parametrize(
    "name", ["a.safetensors", "my model.safetensors", "モデル.safetensors", "-x.ckpt", "$(id) '\".pt"]
)
def test_a_file_becomes_an_artifact_with_its_own_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"abc")
    (artifact,) = local.resolve(PathReference(str(path)))
    assert (artifact.name, artifact.size, artifact.source) == (name, 3, str(path))
    assert artifact.origin == LocalFile(path, path.stat().st_mtime_ns)


def test_the_source_is_the_path_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    (artifact,) = local.resolve(PathReference("./a.ckpt"))
    assert artifact.source == "./a.ckpt"
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.is_absolute()


def test_resolve_pattern_sorts_files_and_ignores_folders(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.safetensors", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "z.safetensors").mkdir()
    found = local.resolve(PathReference(str(tmp_path / "*.safetensors")))
    assert [artifact.source for artifact in found] == [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[1].safetensors").write_bytes(b"x")
    (tmp_path / "a1.safetensors").write_bytes(b"x")
    assert resolve(tmp_path / "a[1].safetensors") == ["a[1].safetensors"]


def test_a_pattern_without_a_match_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="no file matches"):
        resolve(tmp_path / "*.safetensors")


def test_all_that_is_wrong_under_a_pattern_is_told_at_once(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    (tmp_path / "c.pt").write_bytes(b"x")
    with pytest.raises(Several) as caught:
        resolve(tmp_path / "*.pt")
    assert [type(fault) for fault in caught.value.faults] == [NotAModel, NotAModel]


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.pt").write_bytes(b"x")
    assert resolve("~/a.pt") == resolve("~/*.pt") == ["a.pt"]


def test_resolve_unknown_home_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        resolve("~no-such-user-here/a.pt")


def test_a_folder_is_refused_with_what_to_type_instead(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(tmp_path)
    assert str(tmp_path / "*.safetensors") in str(caught.value.remedy)


@pytest.mark.parametrize("name", ["none.ckpt", "file/below.ckpt"])
def test_a_file_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SourceMissing):
        resolve(tmp_path / name)


def test_a_name_too_long_for_the_disk_ends_in_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises((SourceRefused, SourceMissing)):
        resolve(tmp_path / ("a" * 5000))


@POSIX
def test_a_link_to_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to(tmp_path / "gone")
    with pytest.raises(SourceMissing):
        resolve(tmp_path / "link.pt")


@POSIX
def test_a_link_is_followed_and_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "model.pt").symlink_to(tmp_path / "blob")
    assert resolve(tmp_path / "model.pt") == ["model.pt"]


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(NotAModel, match="empty"):
        resolve(tmp_path / "a.safetensors")


@POSIX
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")
    path.chmod(0)
    with nobody(), pytest.raises(SourceRefused, match="may not be read"):
        resolve(path)


@POSIX
@pytest.mark.timeout(10)
def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a file"):
            resolve(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always text")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.pt"
    Path(os.fsdecode(path)).write_bytes(b"x")
    for typed in (os.fsdecode(path), str(tmp_path / "*.pt")):
        with pytest.raises(UsageError) as caught:
            resolve(typed)
        caught.value.message.encode()


def test_identity_follows_both_ends_and_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"

    def identity(content: bytes) -> str:
        path.write_bytes(content)
        return local.resolve(PathReference(str(path)))[0].identity

    content = safetensors("checkpoint", size_bytes=3 << 20)
    known = identity(content)
    assert len(known) == 8
    assert set(known) <= set("0123456789abcdef")
    assert identity(content) == known
    assert len({known, identity(b"\0" + content[1:]), identity(content[:-1] + b"?"), identity(content[:-1])}) == 4


def test_read_big_file_in_big_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, "checkpoint", (9 << 20) + 17)
    stream = local.open(local.resolve(PathReference(str(path)))[0])
    chunks = list(stream.read())
    assert b"".join(chunks) == path.read_bytes()
    assert max(map(len, chunks)) == 4 << 20
    stream.close()


def test_a_file_that_changed_since_it_was_resolved_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x" * 100)
    (artifact,) = local.resolve(PathReference(str(path)))
    path.write_bytes(b"y" * 101)
    with pytest.raises(SourceChanged):
        local.open(artifact)


def test_a_file_touched_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x" * 100)
    stream = local.open(local.resolve(PathReference(str(path)))[0])
    stream.check()
    os.utime(path, ns=(0, 0))
    with pytest.raises(SourceChanged):
        stream.check()
    with pytest.raises(SourceChanged):
        list(stream.read())


def test_a_file_that_becomes_shorter_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x" * (9 << 20))
    stream = local.open(local.resolve(PathReference(str(path)))[0])
    chunks = stream.read()
    next(chunks)
    os.truncate(path, 6 << 20)
    with pytest.raises(SourceChanged):
        list(chunks)


def test_a_file_that_vanishes_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")
    stream = local.open(local.resolve(PathReference(str(path)))[0])
    path.unlink()
    for act in (stream.check, lambda: list(stream.read()), lambda: stream.slice(0, 1)):
        with pytest.raises(SourceMissing):
            act()
