from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from uploader.artifact import Kind
from uploader.errors import Busy, ConfigurationError, Several, UploaderError, UsageError
from uploader.profile import Target
from uploader.state.targets import Targets, address, check_name, is_address, normal_root, parse_address, state_folder

CANVAS = Target("my-canvas", "conoha-ai-canvas", "a1111", "canvas.example.com", "home/data", port=8022, user="u1")
POD = Target(
    "pod", "runpod", "comfyui", "203.0.113.7", "/workspace/ComfyUI", identity_file="~/.ssh/id", jump="me@hop:22"
)


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    return Targets(tmp_path)


def written(targets: Targets, text: str) -> Targets:
    targets.path.write_bytes(text.encode())
    return targets


def faults(targets: Targets) -> list[str]:
    with pytest.raises(UploaderError) as caught:
        targets.all()
    error = caught.value
    every = list(error.faults) if isinstance(error, Several) else [error]
    assert all(isinstance(fault, ConfigurationError) for fault in every)
    return [fault.message for fault in every]


# state folder -----------------------------------------------------------------------------------------


def test_state_folder_is_uploader_home(tmp_path: Path) -> None:
    assert state_folder({"UPLOADER_HOME": str(tmp_path / "x")}) == tmp_path / "x"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("environ", [{}, {"UPLOADER_HOME": ""}])
def test_state_folder_without_uploader_home_is_the_system_s(environ: dict[str, str]) -> None:
    assert state_folder(environ).is_absolute()
    assert "uploader" in state_folder(environ).parts


# saving and finding -----------------------------------------------------------------------------------


def test_save_keeps_the_order(targets: Targets, tmp_path: Path) -> None:
    assert targets.all() == []
    targets.save(POD)
    targets.save(CANVAS)
    assert Targets(tmp_path).all() == [POD, CANVAS]
    assert targets.get("my-canvas") == CANVAS


def test_save_of_a_known_name_updates_it(targets: Targets) -> None:
    targets.save(POD)
    targets.save(CANVAS)
    moved = replace(POD, host="203.0.113.8", port=12345, jump=None)
    targets.save(moved)
    assert targets.all() == [moved, CANVAS]


def test_remove_drops_a_target(targets: Targets) -> None:
    targets.save(POD)
    targets.save(CANVAS)
    targets.remove("pod")
    assert targets.all() == [CANVAS]
    targets.remove("my-canvas")
    assert targets.all() == []
    targets.save(POD)
    assert targets.all() == [POD]


def test_get_of_an_unknown_name_tells_the_nearest(targets: Targets) -> None:
    targets.save(POD)
    targets.save(CANVAS)
    with pytest.raises(UsageError, match="my-canvas") as caught:
        targets.get("my-canvsa")
    assert "pod" in caught.value.message
    assert "Did you mean my-canvas?" in (caught.value.remedy or "")
    assert "uploader login" in (caught.value.remedy or "")
    with pytest.raises(UsageError):
        targets.remove("my-canvsa")


def test_get_without_any_target_tells_of_login(targets: Targets) -> None:
    with pytest.raises(UsageError, match="none is saved") as caught:
        targets.get("pod")
    assert "uploader login PROVIDER" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["a", "My.Canvas_2-x", "0", "x" * 64])
def test_name_that_a_target_may_have(targets: Targets, name: str) -> None:
    assert check_name(name) == name
    targets.save(replace(POD, name=name))
    assert targets.get(name).name == name
    targets.remove(name)


@pytest.mark.parametrize("name", ["", "@all", "-x", ".x", "a b", "a/b", "ä", "日本", "a\n", "x" * 65, "a@b", "$(x)"])
def test_name_that_a_target_may_not_have(targets: Targets, name: str) -> None:
    with pytest.raises(UsageError):
        targets.save(replace(POD, name=name))
    assert not targets.path.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(POD, host=""),
        replace(POD, host="-oProxyCommand=x"),
        replace(POD, host="a b"),
        replace(POD, host="me@host"),
        replace(POD, port=0),
        replace(POD, port=65536),
        replace(POD, user=""),
        replace(POD, user="-l"),
        replace(POD, user="a\x1b[0m"),
        replace(POD, host=" -oProxyCommand=x"),
        replace(POD, jump="-x"),
        replace(POD, jump="me@-x:22"),
        replace(POD, jump="me@hop, ssh://-x"),
        replace(POD, root="a/../../etc"),
        replace(POD, root="a\0b"),
        replace(POD, webui=""),
    ],
)
def test_save_refuses_values_that_reach_no_server(targets: Targets, wrong: Target) -> None:
    with pytest.raises(UsageError):
        targets.save(wrong)
    assert not targets.path.exists()


# the file ---------------------------------------------------------------------------------------------

BY_HAND = """\
# my machines

[targets.pod]  # rented by the hour
host = "203.0.113.7"   # changes
provider = "runpod"
webui = 'comfyui'
root = "/workspace/ComfyUI"

# the one at home
[targets.home]
webui = "forge"
root = "sd"
host = "nas"
provider = "generic"
# end of my machines
"""


def test_update_keeps_comments_and_order(targets: Targets) -> None:
    written(targets, BY_HAND)
    targets.save(replace(targets.get("pod"), host="203.0.113.8"))
    assert targets.path.read_text() == BY_HAND.replace("203.0.113.7", "203.0.113.8")


def test_add_keeps_comments_and_order(targets: Targets) -> None:
    written(targets, BY_HAND)
    targets.save(CANVAS)
    assert targets.path.read_text().startswith(BY_HAND)
    assert [target.name for target in targets.all()] == ["pod", "home", "my-canvas"]


def test_remove_takes_only_the_target_s_lines(targets: Targets) -> None:
    written(targets, BY_HAND)
    targets.remove("pod")
    text = targets.path.read_text()
    assert "# the one at home\n[targets.home]\n" in text
    assert text.startswith("# my machines\n")
    assert "203.0.113.7" not in text
    targets.remove("home")
    assert targets.path.read_text() == "# my machines\n\n# the one at home\n# end of my machines\n"


def test_save_without_a_change_leaves_the_file(targets: Targets) -> None:
    written(targets, BY_HAND)
    targets.save(targets.get("home"))
    assert targets.path.read_text() == BY_HAND


_VALUES = 'provider = "generic", webui = "forge", root = "sd", host = "nas"'


@pytest.mark.parametrize(
    "text",
    [
        f"[targets]\nhome = {{{_VALUES}}}\n",
        f"targets = {{home = {{{_VALUES}}}}}\n",
        "[targets]\n" + "".join(f"home.{pair}\n" for pair in _VALUES.split(", ")),
        '[targets."home"]\r\n' + _VALUES.replace(", ", "\r\n") + "\r\n",
        "[ targets . home ]\n" + _VALUES.replace(", ", "\n"),
        "\ufeff[targets.home]\n" + _VALUES.replace(", ", "\n"),
    ],
)
def test_save_into_other_notations_works(targets: Targets, text: str) -> None:
    written(targets, text)
    home = Target("home", "generic", "forge", "nas", "sd")
    assert targets.all() == [home]
    targets.save(POD)
    targets.save(replace(home, port=22))
    assert targets.all() == [replace(home, port=22), POD]
    targets.remove("home")
    assert targets.all() == [POD]


def test_file_with_many_faults_tells_them_all(targets: Targets) -> None:
    written(
        targets,
        """
[target]
[targets.a]
provider = "generic"
webui = 1
hots = "x"
root = ""
port = true
[targets.b]
provider = "generic"
webui = "a1111"
host = "x"
root = "/"
port = 99999
user = ""
[targets.c]
[targets."d e"]
provider = "generic"
webui = "a1111"
host = "x"
root = "."
[targets]
f = 1
""",
    )
    told = "\n".join(faults(targets))
    for part in (
        "target: is not a key",
        "targets.a.webui: must be text",
        "targets.a.hots: is not a key",
        "targets.a.host: is missing",
        "targets.a.root: is empty",
        "targets.a.port: must be a whole number",
        "targets.b.port: 99999",
        "targets.b.user: is empty",
        "targets.c.provider: is missing",
        "targets.c.root: is missing",
        "'d e' cannot be a target's name",
        "targets.f: must be a table",
    ):
        assert part in told
    assert all(str(targets.path) in message for message in faults(targets))


def test_misspelt_key_is_told_with_the_right_one(targets: Targets) -> None:
    written(targets, BY_HAND.replace('host = "nas"', 'host = "nas"\nprot = 22'))
    with pytest.raises(ConfigurationError, match="prot") as caught:
        targets.all()
    assert caught.value.remedy == "Did you mean port?"


def test_file_with_a_secret_is_refused_without_quoting_it(targets: Targets) -> None:
    written(targets, BY_HAND.replace('host = "nas"', 'host = "nas"\npassword = "hunter2"'))
    assert "password" in faults(targets)[0]
    assert "hunter2" not in str(faults(targets))


@pytest.mark.parametrize("content", [b"[targets", b"\xff\xfe[\x00", b"x = 1", b"[targets.a]\n", b"targets = 3"])
def test_file_that_cannot_be_read_is_never_overwritten(targets: Targets, content: bytes) -> None:
    targets.path.write_bytes(content)
    for change in (lambda: targets.save(POD), lambda: targets.remove("pod"), lambda: targets.all()):
        with pytest.raises((ConfigurationError, Several)):
            change()
    assert targets.path.read_bytes() == content


def test_file_that_a_change_would_damage_is_not_written(targets: Targets) -> None:
    trap = BY_HAND.replace('host = "nas"', 'host = "nas"\nidentity_file = """\\\n[targets.pod] #\\\n"""')
    head, _, tail = trap.partition("# the one at home\n")
    text = tail + head
    written(targets, text)
    assert {target.name for target in targets.all()} == {"pod", "home"}
    with pytest.raises(ConfigurationError, match="nothing was written"):
        targets.remove("pod")
    assert targets.path.read_text() == text


def test_folder_in_place_of_the_file_is_told(targets: Targets) -> None:
    targets.path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        targets.all()


def test_save_without_a_writable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        Targets(tmp_path / "file" / "state").save(POD)
    assert "UPLOADER_HOME" in (caught.value.remedy or "")


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_save_makes_files_for_their_owner_only(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "state")
    targets.save(POD)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(targets.path.stat().st_mode) == 0o600
    assert {path.name for path in (tmp_path / "state").iterdir()} <= {"targets.toml", "targets.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_save_through_a_link_keeps_the_link(targets: Targets, tmp_path: Path) -> None:
    elsewhere = tmp_path / "dotfiles"
    elsewhere.mkdir()
    (elsewhere / "targets.toml").write_text(BY_HAND)
    targets.path.symlink_to(elsewhere / "targets.toml")
    targets.save(CANVAS)
    assert targets.path.is_symlink()
    assert "my-canvas" in (elsewhere / "targets.toml").read_text()


# several processes ------------------------------------------------------------------------------------

_SAVER = """
import sys
from pathlib import Path
from uploader.profile import Target
from uploader.state.targets import Targets
for index in range(10):
    Targets(Path(sys.argv[1]), seconds=60).save(Target(f"t-{sys.argv[2]}-{index}", "generic", "a1111", "host", "sd"))
"""


def test_save_of_processes_at_once_loses_nothing(targets: Targets, tmp_path: Path) -> None:
    savers = [
        subprocess.Popen([sys.executable, "-c", _SAVER, str(tmp_path), str(number)], cwd=Path(__file__).parents[3])
        for number in range(3)
    ]
    assert [saver.wait(60) for saver in savers] == [0, 0, 0]
    assert {target.name for target in targets.all()} == {f"t-{n}-{i}" for n in range(3) for i in range(10)}


def test_save_that_waits_too_long_is_busy(tmp_path: Path) -> None:
    targets = Targets(tmp_path, seconds=0)
    with FileLock(tmp_path / "targets.lock"), pytest.raises(Busy, match=r"targets\.toml"):
        targets.save(POD)
    targets.save(POD)


# addresses --------------------------------------------------------------------------------------------


def parsed(text: str) -> Target:
    return parse_address(text, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sftp://host", Target("", "generic", "a1111", "host", ".")),
        ("sftp://host/", Target("", "generic", "a1111", "host", ".")),
        ("sftp://me@host:2222/home/data", Target("", "generic", "a1111", "host", "home/data", 2222, "me")),
        ("SFTP://me@Host//workspace/sd/", Target("", "generic", "a1111", "Host", "/workspace/sd", None, "me")),
        ("sftp://host//", Target("", "generic", "a1111", "host", "/")),
        ("sftp://host/sd?webui=comfyui", Target("", "generic", "comfyui", "host", "sd")),
        ("sftp://me%40corp@host/a%20b/%E6%97%A5", Target("", "generic", "a1111", "host", "a b/日", None, "me@corp")),
        ("sftp://[::1]:22/sd", Target("", "generic", "a1111", "::1", "sd", 22)),
        ("sftp://me@[fe80::1%25eth0]/sd", Target("", "generic", "a1111", "fe80::1%eth0", "sd", None, "me")),
    ],
)
def test_address_is_parsed_into_a_target(text: str, expected: Target) -> None:
    assert is_address(text)
    assert replace(parsed(text), name="") == expected


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("./home//data/", "home/data"),
        ("home/./data", "home/data"),
        (".", "."),
        ("./", "."),
        ("//x", "/x"),
        ("///x//", "/x"),
        ("/", "/"),
        ("//", "/"),
        ("~/x", "~/x"),
        ("a/../b", "a/../b"),
    ],
)
def test_root_has_one_spelling_and_is_not_resolved(typed: str, normal: str) -> None:
    assert normal_root(typed) == normal


def test_address_root_has_one_spelling() -> None:
    assert parsed("sftp://host/./home//data/").root == "home/data"
    assert parsed("sftp://host/./home//data/").name == "sftp://host/home/data"
    assert parsed("sftp://host///x/./y").root == "/x/y"


def test_address_in_normal_form_is_the_name() -> None:
    assert parsed("SFTP://me@host//sd//models/?webui=a1111").name == "sftp://me@host//sd/models"


@pytest.mark.parametrize(
    "text",
    [
        "sftp://",
        "sftp:///root",
        "sftp://@host/root",
        "ftp://host/root",
        "sftp://host:port/",
        "sftp://host:0/",
        "sftp://host:65536/",
        "sftp://host:٣/",
        "sftp://::1/root",
        "sftp://[::1/root",
        "sftp://[]/root",
        "sftp://host/root#x",
        "sftp://host/a\nb",
        "sftp://host/a%0Ab",
        "sftp://host/%ff",
        "sftp://host/a/../b",
        "sftp://-oX/root",
        "sftp://-x@host/root",
        "sftp://host/root?webui=",
        "sftp://host/root?webui",
        "sftp://host/root?webiu=a1111",
        "sftp://host/root?webui=a&webui=b",
        "sftp://host/root?port=22",
    ],
)
def test_address_that_is_wrong_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "sftp://me:hunter2@host/root",
        "sftp://me:hunter2@ho st:x/root",
        "sftp://:hunter2@host/root",
        "sftp://me:p/hunter2@host/root",
        "sftp://me:p?hunter2@host/root",
        "sftp://me:p#hunter2@host/root",
        "sftp://me:p@hunter2@host/root",
    ],
)
def test_address_with_a_password_is_refused_without_quoting(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert "hunter2" not in caught.value.message + (caught.value.remedy or "")


def test_address_with_a_password_names_the_variable() -> None:
    with pytest.raises(UsageError, match="holds a password") as caught:
        parsed("sftp://me:hunter2@host/root")
    assert "$UPLOADER_PASSWORD" in (caught.value.remedy or "")
    with pytest.raises(UsageError) as caught:
        parse_address("sftp://me:hunter2@host/root", {"UPLOADER_PASSWORD": "x"})
    assert "is set" in (caught.value.remedy or "")


_part = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\/"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
_roots = st.builds(
    lambda parts, lead: lead + "/".join(parts), st.lists(_part, min_size=1, max_size=4), st.sampled_from(["", "/"])
)


@given(
    host=st.sampled_from(["host", "gpu.example.com", "203.0.113.7", "::1", "fe80::1%eth0", "日本.example"]),
    root=_roots | st.sampled_from([".", "/"]),
    port=st.none() | st.integers(1, 65535),
    user=st.none() | _part.filter(lambda user: not user.startswith("-")),
    webui=st.sampled_from(["a1111", "comfyui"]) | _part,
)
def test_address_of_a_target_is_parsed_into_the_same(
    host: str, root: str, port: int | None, user: str | None, webui: str
) -> None:
    target = Target("", "generic", webui, host, root, port=port, user=user)
    text = address(target)
    back = parsed(text)
    assert replace(back, name="") == target
    assert back.name == text


@given(st.text())
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        target = parsed(f"sftp://{text}")
    except UsageError:
        return
    assert parsed(target.name) == target


def test_name_is_not_an_address() -> None:
    assert not is_address("my-canvas")
    assert not is_address("@all")


def test_save_ignores_an_open_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Targets(tmp_path / "state").save(POD)
    finally:
        os.umask(before)
    if sys.platform != "win32":
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "state").iterdir())


# the WebUI --------------------------------------------------------------------------------------------

_AWAY = replace(POD, webui_url="https://pod.example.com/ui", webui_ca=f"SHA256:{'ab' * 32}")


def test_webui_address_and_folders_are_saved_and_removed(targets: Targets) -> None:
    tunnel = replace(CANVAS, webui_tunnel=7860, folders={Kind.LORA: "disk/lora", Kind.VAE: "disk/vae"})
    for target in (CANVAS, tunnel, _AWAY):
        targets.save(target)
    assert targets.all() == [tunnel, _AWAY]
    targets.save(replace(tunnel, folders={}, webui_tunnel=None))
    assert targets.all() == [CANVAS, _AWAY]
    targets.remove(CANVAS.name)
    assert targets.all() == [_AWAY]


def test_folders_in_a_table_of_their_own_are_read(targets: Targets) -> None:
    values = _VALUES.replace(", ", "\n")
    written(
        targets,
        f'[targets.home]\n{values}\n[targets.home.folders]\nlora = "disk/lora"\n\n# mine\n[targets.b]\n{values}\n',
    )
    assert targets.get("home").folders == {Kind.LORA: "disk/lora"}
    targets.save(replace(targets.get("home"), port=22))
    assert targets.get("home").folders == {Kind.LORA: "disk/lora"}
    targets.remove("home")
    assert [target.name for target in targets.all()] == ["b"]
    assert "# mine" in targets.path.read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('webui_url = "webui"', "webui_url"),
        ('webui_url = "https://me:secret@h"', "webui_url"),
        ('webui_tunnel = "7860"', "webui_tunnel"),
        ("webui_tunnel = 70000", "webui_tunnel"),
        ('webui_url = "https://h"\nwebui_tunnel = 1', "webui_tunnel"),
        ('webui_ca = "SHA256:12"', "webui_ca"),
        ("folders = 3", "folders"),
        ('folders = {lorra = "x"}', "folders.lorra"),
        ("folders = {lora = 3}", "folders.lora"),
        ('folders = {lora = "../x"}', "folders.lora"),
        ('folders = {lora = ""}', "folders.lora"),
    ],
)
def test_webui_value_that_is_wrong_is_a_fault(targets: Targets, line: str, fault: str) -> None:
    values = _VALUES.replace(", ", "\n")
    written(targets, f"[targets.home]\n{values}\n{line}\n")
    with pytest.raises(ConfigurationError, match=fault) as caught:
        targets.all()
    assert "secret" not in caught.value.message


# groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "fault"),
    [
        ('groups = "all"', "groups: must be a table"),
        ('[groups]\nall = "box"', r"groups\.all: must be a list"),
        ("[groups]\nall = [1]", r"groups\.all\[0\]: must be text"),
        ('[groups]\n"@all" = ["box"]', "cannot be a group's name"),
    ],
)
def test_group_that_is_wrong_is_refused_with_its_place(tmp_path: Path, groups: str, fault: str) -> None:
    (tmp_path / "targets.toml").write_text(groups)
    with pytest.raises(ConfigurationError, match=fault):
        Targets(tmp_path).all()
