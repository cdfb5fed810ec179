"""Profiles are read strictly, with all faults at once, a user's own before the built-in ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from uploader import profiles as profiles
from uploader.artifact import Kind
from uploader.errors import ConfigurationError, Several, UsageError
from uploader.profile import Loads, Quirks, Refusal, Sureness

FACTS = """
[facts]
checked = 2026-11-01
sureness = "reported"
sources = ["https://example.org"]
"""
PROVIDER = 'id = "mine"\nname = "Mine"\nsftp = true\n' + FACTS
WEBUI = 'id = "w"\nname = "W"\nextensions = [".safetensors"]\n[folders]\nlora = "loras"\n' + FACTS

# fmt: off
KEYS = (
    "id", "name", "sftp", "webui", "root", "user", "port", "host_hint", "auth", "folders", "quirks", "refuses",
    "reason", "instead", "notes", "facts", "extensions", "missing", "shell", "max_connections", "host", "checked",
    "sureness", "sources", "fields", "lora", "vae", "x", "loads", "families", "strict_pickles", "needs",
)
# fmt: on
VALUES = st.recursive(
    st.sampled_from(["mine", "a1111", "", "reported", "../x", "key"]) | st.booleans() | st.integers() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "webui").mkdir()
    return tmp_path


def _faults(folder: Path, *, builtin: Path | None = None) -> list[str]:
    with pytest.raises(Several) as caught:
        profiles.load(folder, builtin=builtin)
    for fault in caught.value.faults:
        assert isinstance(fault, ConfigurationError)
        assert fault.exit_code == 2
    return [f"{fault.message} {fault.remedy or ''}" for fault in caught.value.faults]


def _only(faults: list[str]) -> str:
    assert len(faults) == 1, faults
    return faults[0]


def test_load_adds_the_user_s_profiles(own: Path) -> None:
    (own / "mine.toml").write_text(PROVIDER.replace("sftp = true", 'sftp = true\nwebui = "w"'))
    (own / "webui" / "w.toml").write_text(WEBUI)
    loaded = profiles.load(own)
    assert loaded.provider("mine").webui == "w"
    assert loaded.webui("w").folders == {Kind.LORA: "loras"}
    assert loaded.provider("conoha-ai-canvas").sftp


def test_load_replaces_a_built_in_profile_of_that_id(own: Path) -> None:
    (own / "runpod.toml").write_text(PROVIDER.replace("mine", "runpod"))
    assert profiles.load(own).provider("runpod").name == "Mine"


def test_load_without_user_profiles_has_the_built_in_ones(tmp_path: Path) -> None:
    assert profiles.load(tmp_path / "none") == profiles.load()


def test_load_skips_other_files(own: Path) -> None:
    (own / "notes.txt").write_text("not a profile")
    (own / "mine.toml~").write_text("= broken")
    (own / ".mine.toml.swp.toml").write_text("= broken")
    assert profiles.load(own) == profiles.load()


def test_load_skips_a_byte_order_mark(own: Path) -> None:
    (own / "mine.toml").write_text(PROVIDER, encoding="utf-8-sig")
    assert profiles.load(own).provider("mine").name == "Mine"


def test_provider_with_every_key_is_read(own: Path) -> None:
    (own / "mine.toml").write_text(
        """
        id = "mine"
        name = "Mine"
        sftp = true
        webui = "a1111"
        root = "/data"
        user = "me"
        port = 2222
        host_hint = "the console"
        auth = ["key", "password", "keyboard-interactive"]
        notes = ["slow"]
        [folders]
        lora = "models/lora"
        [quirks]
        shell = false
        max_request_bytes = 32768
        max_connections = 2
        [[refuses]]
        host = "*.example.org"
        reason = "a proxy"
        [facts]
        checked = 2026-11-01
        sureness = "tested"
        sources = ["https://example.org"]
        [facts.fields]
        root = "documented"
        "folders.lora" = "reported"
        """
    )
    mine = profiles.load(own).provider("mine")
    assert (mine.root, mine.user, mine.port, mine.auth[2]) == ("/data", "me", 2222, "keyboard-interactive")
    assert mine.folders == {Kind.LORA: "models/lora"}
    assert mine.quirks == Quirks(shell=False, max_request_bytes=32768, max_connections=2)
    assert mine.refuses == (Refusal("*.example.org", "a proxy"),)
    assert (mine.facts.checked, mine.facts.sureness) == ("2026-11-01", Sureness.TESTED)
    assert mine.facts.fields == {"root": Sureness.DOCUMENTED, "folders.lora": Sureness.REPORTED}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("sftp = true", "sftp = true\nusr = 'x'"), "usr: is not a key that belongs here Did you mean user?"),
        (("sftp = true", "sftp = true\n[quirks]\nshel = true"), "quirks.shel: .* Did you mean shell?"),
        (("sftp = true", "sftp = true\n[folders]\nloar = 'x'"), "folders.loar: 'loar' is not known Did you mean lora?"),
        (("sftp = true", "sftp = true\n[folders]\nlora = '/x'"), "folders.lora: '/x': it must be relative"),
        (("sftp = true", "sftp = true\n[folders]\nlora = 'a/../b'"), r"folders.lora: .*\(\.\.\)"),
        (("sftp = true", "sftp = true\n[folders]\nlora = ''"), "folders.lora: is empty"),
        (("sftp = true", "sftp = true\n[folders]\nlora = 3"), "folders.lora: must be text in quotes"),
        (("sftp = true", "sftp = true\nroot = '../x'"), r"root: .*\(\.\.\)"),
        (("sftp = true", "sftp = 'yes'"), "sftp: must be true or false, and is text"),
        (("sftp = true\n", ""), "sftp: is missing"),
        (("sftp = true", "sftp = true\nport = '22'"), "port: must be a whole number, and is text"),
        (("sftp = true", "sftp = true\nport = true"), "port: must be a whole number, and is true or false"),
        (("sftp = true", "sftp = true\nport = 70000"), "port: 70000 is not between 1 and 65535"),
        (("sftp = true", "sftp = true\nnotes = 'x'"), "notes: must be a list"),
        (("sftp = true", "sftp = true\nnotes = [1]"), r"notes\[0\]: must be text"),
        (("sftp = true", "sftp = true\nauth = ['keys']"), r"auth\[0\]: 'keys' is not known Did you mean key?"),
        (("sftp = true", "sftp = true\nrefuses = ['x']"), r"refuses\[0\]: must be a table"),
        (("sftp = true", "sftp = true\n[[refuses]]\nhost = 'x'"), r"refuses\[0\].reason: is missing"),
        (("sftp = true", "sftp = true\nwebui = 'a111'"), "webui: there is no WebUI 'a111' Did you mean a1111?"),
        (("sftp = true", "sftp = true\nreason = 'x'"), "reason: is only for a provider without SFTP"),
        (("sftp = true", "sftp = false\nreason = 'x'"), "instead: is missing"),
        (('"Mine"', '""'), "name: is empty"),
        (('id = "mine"', 'id = "yours"'), "id: 'yours' is not the file's name Name the file yours.toml"),
        (('id = "mine"', 'id = "My Host"'), "id: 'My Host' is not made of small letters"),
        (("2026-11-01", '"2026-11-01"'), "facts.checked: must be a date without quotes"),
        (("checked = 2026-11-01", ""), "facts.checked: is missing"),
        (('"reported"', '"report"'), "facts.sureness: 'report' is not known Did you mean reported?"),
        (('["https://example.org"]', "[]"), "facts.sources: is empty"),
        (('"reported"', '"reported"\nfields = {rot = "tested"}'), "facts.fields.rot: .* Did you mean root?"),
        (('"reported"', '"reported"\nfields = {root = "sure"}'), "facts.fields.root: 'sure' is not known"),
        (('"Mine"', '"Mine'), "is not valid TOML: .*line 2"),
        (('"Mine"', "9" * 5000), "is not valid TOML"),
        (('"Mine"', "[" * 5000), "is not valid TOML"),
    ],
)
def test_provider_fault_is_told_with_its_file_and_key(own: Path, change: tuple[str, str], expected: str) -> None:
    file = own / "mine.toml"
    assert change[0] in PROVIDER
    file.write_text(PROVIDER.replace(*change, 1))
    fault = _only(_faults(own))
    assert fault.startswith(f"{file}: ")
    assert re.search(expected, fault), fault


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('lora = "loras"', 'lora = "loras"\n[missing]\nlora = "no"'), "missing.lora: has a folder above"),
        (('lora = "loras"', 'lora = "loras"\n[missing]\nvea = "no"'), "missing.vea: .* Did you mean vae?"),
        (('".safetensors"', '"safetensors"'), r"extensions\[0\]: 'safetensors' is not like .safetensors"),
        (('extensions = [".safetensors"]', ""), "extensions: is missing"),
        (('lora = "loras"', 'lora = "C:/loras"'), "folders.lora: .* relative"),
        (('"W"', '"W"\nroot = "x"'), "root: is not a key that belongs here"),
        (("[folders]", '[loads]\nfamilies = ["SD 1"]\n[folders]'), r"loads.families\[0\]: 'SD 1' is not made of"),
        (("[folders]", "[loads]\nstrict_pickle = true\n[folders]"), "strict_pickle: .* Did you mean strict_pickles?"),
        (("[folders]", '[loads.needs]\ngguf = "a node"\n[folders]'), "loads.needs.gguf: is not like .gguf"),
    ],
)
def test_webui_fault_is_told_with_its_file_and_key(own: Path, change: tuple[str, str], expected: str) -> None:
    file = own / "webui" / "w.toml"
    assert change[0] in WEBUI
    file.write_text(WEBUI.replace(*change, 1))
    fault = _only(_faults(own))
    assert fault.startswith(f"{file}: ")
    assert re.search(expected, fault), fault


def test_webui_without_loads_leaves_them_unknown(own: Path) -> None:
    file = own / "webui" / "w.toml"
    file.write_text(WEBUI)
    assert profiles.load(own).webui("w").loads == Loads(None, None, None, {})
    table = '[loads]\nfamilies = []\nstrict_pickles = false\n[loads.needs]\n".gguf" = "a node"\n[folders]'
    file.write_text(WEBUI.replace("[folders]", table))
    assert profiles.load(own).webui("w").loads == Loads(frozenset(), False, None, {".gguf": "a node"})


def test_load_tells_every_fault_of_every_file(own: Path) -> None:
    (own / "mine.toml").write_text(PROVIDER.replace("sftp = true", "port = 'x'\nusr = 'y'"))
    (own / "other.toml").write_text("= broken")
    (own / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (own / "webui" / "w.toml").write_text(WEBUI.replace('"W"', "7"))
    (own / "folder.toml").mkdir()
    faults = "\n".join(_faults(own))
    for expected in (
        "mine.toml: sftp: is missing",
        "mine.toml: port: must be a whole number",
        "mine.toml: usr: is not a key",
        "other.toml: is not valid TOML",
        "binary.toml: is not text in UTF-8",
        "w.toml: name: must be text",
        "folder.toml: cannot be read",
    ):
        assert expected in faults
    assert len(faults.splitlines()) == 7


def test_provider_of_a_broken_webui_has_no_fault(own: Path) -> None:
    (own / "mine.toml").write_text(PROVIDER.replace("sftp = true", 'sftp = true\nwebui = "w"'))
    (own / "webui" / "w.toml").write_text("= broken")
    assert "w.toml: is not valid TOML" in _only(_faults(own))


def test_load_of_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "webui").write_text("")
    assert "webui cannot be read" in _only(_faults(tmp_path))


def test_empty_profile_lists_every_missing_key(own: Path) -> None:
    (own / "mine.toml").write_text("")
    faults = _faults(own)
    for key in ("id", "name", "sftp", "facts.sources", "facts.checked", "facts.sureness"):
        assert any(f"mine.toml: {key}: is missing" in fault for fault in faults)
    assert len(faults) == 6


def test_unknown_provider_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no provider 'conoha'") as caught:
        profiles.load().provider("conoha")
    assert "uploader providers" in (caught.value.remedy or "")
    with pytest.raises(UsageError) as caught:
        profiles.load().provider("run-pod")
    assert caught.value.remedy == "Did you mean runpod?"


def test_unknown_webui_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        profiles.load().webui("comfy")
    assert caught.value.remedy == "Did you mean comfyui?"
    with pytest.raises(UsageError) as caught:
        profiles.load().webui("zzz")
    assert "a1111" in (caught.value.remedy or "")


def test_provider_folders_apply_to_its_own_webui_only(own: Path) -> None:
    overriding = 'sftp = true\nwebui = "a1111"\n[folders]\nlora = "models/lora"\ntext-encoder = "te"\n'
    (own / "mine.toml").write_text(PROVIDER.replace("sftp = true\n", overriding))
    (own / "any.toml").write_text(
        PROVIDER.replace("mine", "any").replace("sftp = true\n", 'sftp = true\n[folders]\nlora = "l"\n')
    )
    loaded = profiles.load(own)
    a1111 = loaded.folders(loaded.provider("mine"), loaded.webui("a1111"))
    assert (a1111[Kind.LORA], a1111[Kind.TEXT_ENCODER], a1111[Kind.VAE]) == ("models/lora", "te", "models/VAE")
    assert loaded.folders(loaded.provider("mine"), loaded.webui("comfyui"))[Kind.LORA] == "models/loras"
    assert loaded.folders(loaded.provider("any"), loaded.webui("comfyui"))[Kind.LORA] == "l"


def test_table_rows_begin_with_those_that_have_sftp() -> None:
    loaded = profiles.load()
    rows = profiles.table_rows(loaded)
    assert {row[0] for row in rows} == set(loaded.providers)
    assert all(len(row) == len(profiles.TABLE_HEADER) for row in rows)
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    by_id = {row[0]: row for row in rows}
    assert by_id["conoha-ai-canvas"][1:] == (
        "ConoHa AI Canvas", "yes", "AUTOMATIC1111", "home/data", "-", "reported",
    )  # fmt: skip
    assert by_id["runpod"][6] == "documented (webui reported, root reported)"


def test_markdown_table_keeps_its_columns(own: Path) -> None:
    (own / "mine.toml").write_text(PROVIDER.replace('"Mine"', '"Mine | yours"'))
    lines = profiles.markdown_table(profiles.load(own)).splitlines()
    assert lines[0] == "| Id | Provider | SFTP | WebUI | Root | Sign-in | Sureness |"
    assert lines[1] == "| --- | --- | --- | --- | --- | --- | --- |"
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in lines)
    assert any("Mine \\| yours" in line for line in lines)


@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
def test_any_profile_is_read_or_its_faults_are_told(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "webui").mkdir()
    for file in (folder / "mine.toml", folder / "webui" / "mine.toml"):
        file.write_text(tomlkit.dumps(data), encoding="utf-8")
    try:
        profiles.load(builtin=folder)
    except Several as several:
        told = several
    else:
        pytest.fail("no profile is both a provider's and a WebUI's")
    assert all(str(folder) in fault.message for fault in told.faults)
