"""Looking at a target and tidying it: ls, df, rm and doctor over real servers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, LORAS, MIB, App, World, serve, world
from tests.servers.tcp_proxy import Proxy
from tests.servers.webuis import FakeA1111
from uploader.api import Check, Diagnosis, SyncRequest
from uploader.artifact import Kind
from uploader.commands.doctor.checks import Doctor
from uploader.commands.doctor.mask import masked
from uploader.errors import Interrupted, RemoteMissing, RemoteRefused, Several, Unsupported, UsageError
from uploader.secret import Secret
from uploader.session.target import TargetSession

DREAM = f"{CHECKPOINTS}/dream.safetensors"


def put(here: World, path: str, data: bytes) -> Path:
    """Write a file to the server that this program did not place."""
    file = here.root / path
    file.write_bytes(data)
    file.chmod(0o666)
    return file


class Person:
    """A prompter that answers every question the same way."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.shown: list[str] = []

    def ask(self, text: str) -> str:
        return ""

    def ask_secret(self, text: str) -> Secret:
        return Secret("")

    def confirm(self, text: str) -> bool:
        self.shown.append(text)
        return self.answer

    def show(self, text: str) -> None:
        self.shown.append(text)


def with_person(here: World, person: Person) -> App:
    session = here.app.session
    return App(
        environ=session.environ,
        prompter=person,
        observer=here.events.append,
        state=here.state,
        ssh_folder=session.ssh_folder,
        wait=lambda _seconds: False,
    )


# ls and df --------------------------------------------------------------------------------------------


def test_ls_tells_kind_architecture_and_who_placed_a_model(every: tuple[str, World]) -> None:
    _, here = every
    here.placed(here.model("dream.safetensors", 3 * MIB))
    theirs = here.model("style.safetensors", preset="lora")
    put(here, f"{LORAS}/style.safetensors", theirs.read_bytes())
    put(here, f"{LORAS}/style.preview.png", b"no model")
    style, dream = sorted(here.app.ls(None), key=lambda model: model.path)
    assert (dream.path, dream.name, dream.kind, dream.size) == (DREAM, "dream.safetensors", Kind.CHECKPOINT, 3 * MIB)
    assert (style.path, style.kind) == (f"{LORAS}/style.safetensors", Kind.LORA)
    assert (dream.placed, style.placed) == (True, False)
    assert dream.architecture
    assert here.app.ls(None, Kind.LORA) == [style]
    assert here.app.ls("canvas", Kind.VAE) == []


def test_ls_reads_a_header_again_only_when_the_file_changed(every: tuple[str, World]) -> None:
    _, here = every
    file = put(here, DREAM, here.model(size=2 * MIB).read_bytes())
    (before,) = here.app.ls(None)
    file.write_bytes(bytes(2 * MIB))
    os.utime(file, (before.mtime or 0, before.mtime or 0))
    assert here.app.ls(None) == [before]
    os.utime(file, (1, 1))
    (after,) = here.app.ls(None)
    assert after.architecture is None


def test_df_shows_free_bytes_and_bytes_of_each_kind(every: tuple[str, World]) -> None:
    kind, here = every
    here.placed(here.model("dream.safetensors", 3 * MIB))
    here.placed(here.model("style.safetensors", MIB, preset="lora"))
    if kind == "embedded":
        with pytest.raises(Unsupported, match="does not tell"):
            here.app.df(None)
        return
    use = here.app.df(None)
    assert use.free is not None
    assert use.total is not None
    assert 0 < use.free < use.total
    assert use.kinds == {Kind.CHECKPOINT: 3 * MIB, Kind.LORA: MIB}


# rm ---------------------------------------------------------------------------------------------------


def test_rm_accepts_a_name_and_a_path(every: tuple[str, World]) -> None:
    _, here = every
    here.placed(here.model("dream.safetensors"))
    here.placed(here.model("style.safetensors", preset="lora"))
    put(here, f"{LORAS}/notes.txt", b"no model")
    removed = here.app.rm("canvas", ["dream.safetensors", f"{LORAS}/notes.txt"], yes=True)
    assert [removal.path for removal in removed] == [DREAM, f"{LORAS}/notes.txt"]
    assert list(here.there) == [f"{LORAS}/style.safetensors"]
    assert [model.name for model in here.app.ls(None)] == ["style.safetensors"]


@pytest.mark.parametrize("path", ["../state", "models/../../x", "/etc/passwd", "a//b", "models/", "/", "x\\y/z"])
def test_rm_path_outside_the_root_is_refused(here: World, path: str) -> None:
    with pytest.raises((UsageError, RemoteRefused)):
        here.app.rm("canvas", [path], yes=True)


def test_rm_link_out_of_the_root_is_refused(here: World) -> None:
    elsewhere = here.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs.safetensors").write_bytes(b"theirs")
    (here.root / "models" / "x").symlink_to("../../elsewhere")
    with pytest.raises(RemoteRefused, match="is a link"):
        here.app.rm("canvas", ["models/x/theirs.safetensors"], yes=True)
    assert (elsewhere / "theirs.safetensors").exists()


def test_rm_model_folder_linked_to_another_disk_is_allowed(here: World) -> None:
    disk = here.root.parent / "disk"
    disk.mkdir()
    (disk / "old.safetensors").write_bytes(b"old")
    (here.root / LORAS).rmdir()
    (here.root / LORAS).symlink_to("../../disk")
    assert [gone.path for gone in here.app.rm("canvas", [f"{LORAS}/old.safetensors"], yes=True)]
    assert list(disk.iterdir()) == []


def test_rm_several_faults_are_all_reported_none_removed(here: World) -> None:
    here.placed(here.model("dream.safetensors"))
    with pytest.raises(Several) as told:
        here.app.rm("canvas", ["dream.safetensors", "nothing.safetensors", "../x"], yes=True)
    assert [fault.code for fault in told.value.faults] == ["remote-missing", "usage"]
    with pytest.raises(RemoteRefused, match="is a folder"):
        here.app.rm("canvas", ["models/Lora"], yes=True)
    with pytest.raises(RemoteMissing):
        here.app.rm("canvas", ["models/nothing.bin"], yes=True)
    assert list(here.there) == [DREAM]


def test_rm_ambiguous_name_asks_for_a_path(here: World) -> None:
    for folder in (CHECKPOINTS, LORAS):
        put(here, f"{folder}/twin.safetensors", b"x")
    with pytest.raises(UsageError, match=f"{CHECKPOINTS}/twin.safetensors"):
        here.app.rm("canvas", ["twin.safetensors"], yes=True)


def test_rm_asks_first_and_no_removes_nothing(here: World) -> None:
    here.placed(here.model("dream.safetensors"))
    with pytest.raises(UsageError, match="no terminal to ask"):
        here.app.rm("canvas", ["dream.safetensors"])
    person = Person(False)
    with pytest.raises(Interrupted, match="nothing was removed"):
        with_person(here, person).rm("canvas", ["dream.safetensors"])
    assert list(here.there) == [DREAM]
    assert DREAM in person.shown[0]
    with_person(here, Person(True)).rm("canvas", ["dream.safetensors"])
    assert here.there == {}


@pytest.mark.parametrize("kind", ["full", "chroot"])
def test_rm_hard_linked_file_names_the_other_use(tmp_path: Path, kind: str) -> None:
    with serve(tmp_path / "server", kind) as server:
        here = world(tmp_path, server)
        here.placed(here.model("dream.safetensors"))
        os.link(here.root / DREAM, here.root / f"{CHECKPOINTS}/again.safetensors")
        (here.root / f"{CHECKPOINTS}/short.safetensors").symlink_to("dream.safetensors")
        (removed,) = here.app.rm("canvas", ["dream.safetensors"], yes=True)
        told = "\n".join(removed.shares)
        assert "1 more name(s)" in told
        assert "the link short.safetensors leads to it" in told
        (link,) = here.app.rm("canvas", [f"{CHECKPOINTS}/short.safetensors"], yes=True)
        assert "it is a link to dream.safetensors" in "\n".join(link.shares)
        assert list(here.there) == [f"{CHECKPOINTS}/again.safetensors"]


def test_rm_names_the_copies_that_uploader_made(here: World) -> None:
    for name in ("a", "b", "c"):
        (here.disk / name).write_bytes(b"x" * 100)
    here.app.sync(SyncRequest(str(here.disk), into="outputs"))
    (removed,) = here.app.rm("canvas", ["outputs/a"], yes=True)
    assert removed.shares == ("the same bytes are there as outputs/b, outputs/c",)
    (here.root / "outputs/c").unlink()
    assert here.app.rm("canvas", ["outputs/b"], yes=True)[0].shares == ()


# doctor -----------------------------------------------------------------------------------------------


def examined(app: App) -> Diagnosis:
    """Return what doctor finds, with a short measurement of the speed."""
    with TargetSession(app.session, None) as target_session:
        return Doctor(app.session, target_session, probe_seconds=0.05).run()


def checks(app: App) -> dict[str, Check]:
    return {check.name: check for check in examined(app).checks}


def test_doctor_of_a_sound_target_passes_and_leaves_nothing(every: tuple[str, World]) -> None:
    kind, here = every
    diagnosis = examined(here.app)
    found = {check.name: check.state for check in diagnosis.checks}
    assert diagnosis.ok, diagnosis.checks
    assert diagnosis.exit_code == 0
    names = ("port", "host key", "authentication", "SFTP", "shell", "round trip", "root", "folders")
    assert {name: found[name] for name in (*names, "writing", "speed", "clock")} == dict.fromkeys(
        (*names, "writing", "speed", "clock"), "ok"
    )
    assert found["free space"] == ("skipped" if kind == "embedded" else found["free space"])
    assert here.there == {}


def test_doctor_each_fault_has_a_remedy(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server)
        target = here.app.targets()[0]
        save = here.app.session.targets.save
        save(replace(target, root="elsewhere"))
        missing = checks(here.app)["root"]
        assert (missing.state, missing.exit_code) == ("failed", 6)
        assert "--root" in str(missing.remedy)
        save(replace(target, webui="comfyui"))
        assert checks(here.app)["folders"].state == "warning"
        save(replace(target, user="nobody"))
        assert checks(here.app)["authentication"].exit_code == 3
        save(replace(target, host="no.such.host.invalid"))
        assert checks(here.app)["name resolution"].exit_code == 5
        here.app.session.known_hosts.forget(target.name)
        save(target)
        assert checks(here.app)["host key"].exit_code == 8
    assert checks(here.app)["port"].exit_code == 5


def test_doctor_unwritable_folder_is_named(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "chroot") as server:
        here = world(tmp_path, server)
        (here.root / CHECKPOINTS).chmod(0o555)
        os.chown(here.root / CHECKPOINTS, 0, 0)
        writing = checks(here.app)["writing"]
        assert (writing.state, writing.exit_code) == ("failed", 6)


def test_doctor_masked_report_has_no_host_user_or_path(every: tuple[str, World]) -> None:
    _, here = every
    target = here.app.targets()[0]
    diagnosis = masked(examined(here.app))
    text = "\n".join(f"{check.detail} {check.remedy}" for check in diagnosis.checks)
    for secret in ("127.0.0.1", target.user, str(target.port), str(here.root), "canvas", "webui", "SHA256:"):
        assert str(secret) not in text
    assert diagnosis.private == ()
    assert diagnosis.target == "TARGET"
    assert "PORT" in text
    assert "PATH" in text


def test_doctor_masks_the_address_of_the_webui(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server)
        assert checks(here.app)["WebUI address"].state == "skipped"
        save, target = here.app.session.targets.save, here.app.targets()[0]
        with FakeA1111(here.root) as webui:
            save(replace(target, webui_url=webui.url))
            found = checks(here.app)["WebUI address"]
            assert (found.state, webui.url in found.detail) == ("ok", True)
            report = "\n".join(f"{check.detail} {check.remedy}" for check in masked(examined(here.app)).checks)
            assert "127.0.0.1" not in report
            assert webui.url.rpartition(":")[2] not in report
            save(replace(target, webui_url=webui.url, webui="comfyui"))
            assert "not comfyui" in checks(here.app)["WebUI address"].detail
        save(replace(target, webui_url=webui.url))
        gone = examined(here.app)
        assert gone.ok
        assert {check.name: check.state for check in gone.checks}["WebUI address"] == "warning"


def test_doctor_lost_connection_is_a_failed_check(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "embedded") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        line.cut_after(20_000)
        diagnosis = examined(here.app)
        assert not diagnosis.ok
        assert diagnosis.exit_code == 5
