"""Where a model goes: its folder, its name, and never anywhere outside the root."""

from __future__ import annotations

import posixpath
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uploader import placement
from uploader.artifact import Kind
from uploader.errors import KindUnplaceable, UsageError
from uploader.profile import Facts, Sureness, WebUI

FACTS = Facts(("https://example.org",), "2026-11-01", Sureness.DOCUMENTED)
WEBUI = WebUI(
    id="some",
    name="Some WebUI",
    folders={Kind.CHECKPOINT: "models/Stable-diffusion", Kind.LORA: "models/Lora"},
    extensions=frozenset({".safetensors", ".ckpt"}),
    missing={Kind.TEXT_ENCODER: "they come inside the checkpoint"},
    facts=FACTS,
)
NASTY = st.text(st.sampled_from("./\\ ~$`'\"\n\r\t\0\x1b:;*-aA%é名\u202e\ud800")) | st.text()


def test_a_kind_goes_to_the_folder_of_the_webui() -> None:
    assert placement.folder_of(Kind.LORA, WEBUI, {}) == "models/Lora"


def test_an_override_goes_before_the_folder_of_the_webui() -> None:
    assert placement.folder_of(Kind.LORA, WEBUI, {Kind.LORA: "models/lora"}) == "models/lora"


def test_override_gives_a_folder_that_the_webui_lacks() -> None:
    assert placement.folder_of(Kind.TEXT_ENCODER, WEBUI, {Kind.TEXT_ENCODER: "te"}) == "te"


def test_kind_without_a_folder_is_refused_with_the_reason() -> None:
    with pytest.raises(KindUnplaceable, match=r"Some WebUI.*text-encoder.*inside the checkpoint") as caught:
        placement.folder_of(Kind.TEXT_ENCODER, WEBUI, {})
    assert "checkpoint, lora" in (caught.value.remedy or "")
    assert caught.value.exit_code == 2


def test_a_kind_that_the_profile_passes_over_is_refused_too() -> None:
    with pytest.raises(KindUnplaceable, match="upscaler"):
        placement.folder_of(Kind.UPSCALER, WEBUI, {})


@pytest.mark.parametrize(
    "name",
    [
        "plain.safetensors",
        "with spaces.ckpt",
        'it\'s "quoted" $(rm -rf ~) `x`.safetensors',
        "-rf.safetensors",
        "日本語のモデル.safetensors",
        "v1.5 [abc] {x}, a;b&c|d.safetensors",
        "UPPER.SafeTensors",
        "trailing.dots...safetensors",
    ],
)
def test_odd_but_honest_names_are_kept_as_they_are(name: str) -> None:
    assert placement.check_name(name, WEBUI) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (".", "dot"),
        ("..", "dot"),
        (".hidden.safetensors", "dot"),
        (".safetensors", "dot"),
        ("a/b.safetensors", "slash"),
        ("/etc/passwd.ckpt", "slash"),
        ("..\\b.safetensors", "slash"),
        ("a\nb.safetensors", "U\\+000A"),
        ("a\0.safetensors", "U\\+0000"),
        ("a\x1b[2J.safetensors", "U\\+001B"),
        ("a\x9b.safetensors", "U\\+009B"),
        ("a\u2028.safetensors", "U\\+2028"),
        ("a\u202esrotesnefas.ckpt", "U\\+202E"),
        ("a\ud800.safetensors", "U\\+D800"),
        ("CON.safetensors", "Windows"),
        ("nul .ckpt", "Windows"),
        ("com1.x.safetensors", "Windows"),
        ("lpt².safetensors", "Windows"),
        ("a" * 230 + ".safetensors", "longer than 241 bytes"),
        ("名" * 77 + ".safetensors", "longer than 241 bytes"),
    ],
)
def test_name_unfit_for_a_server_raises_usage_error(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        placement.check_name(name, WEBUI)
    assert caught.value.exit_code == 2
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["model", "model.txt", "model.safetensors.part", "model.gguf", "model.safetensors "])
def test_name_that_the_webui_does_not_list_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"Some WebUI looks only for files that end in \.ckpt, \.safetensors"):
        placement.check_name(name, WEBUI)


def test_the_longest_name_still_has_room_for_its_part_file() -> None:
    name = placement.check_name("a" * (241 - 12) + ".safetensors", WEBUI)
    assert len(placement.part_name(name, "0123abcd").encode()) == 255


def test_names_are_composed_so_that_one_model_has_one_name() -> None:
    decomposed = unicodedata.normalize("NFD", "ガール é.safetensors")
    assert placement.check_name(decomposed, WEBUI) == unicodedata.normalize("NFC", decomposed)


@pytest.mark.parametrize(
    ("name", "container", "completed"),
    [
        ("model", ".safetensors", "model.safetensors"),
        ("model v1.5", ".safetensors", "model v1.5.safetensors"),
        ("model.txt", ".gguf", "model.txt.gguf"),
        ("model.safetensors", ".safetensors", "model.safetensors"),
        ("model.CKPT", ".safetensors", "model.CKPT"),
        ("model.pt", None, "model.pt"),
    ],
)
def test_a_name_without_an_ending_gets_the_one_of_its_bytes(name: str, container: str | None, completed: str) -> None:
    assert placement.complete_name(name, container) == completed


@pytest.mark.parametrize("name", ["128713", "model.v2", ".pt"])
def test_name_without_ending_and_container_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="ending"):
        placement.complete_name(name, None)


def test_a_part_file_has_the_name_of_the_contract() -> None:
    assert placement.part_name("m.safetensors", "00ff00ff") == "m.safetensors.00ff00ff.part"


@pytest.mark.parametrize("identity", ["", "00FF00FF", "../../xx", "00ff00ff0", "00ff00f\n"])
def test_a_part_file_takes_nothing_but_an_identity(identity: str) -> None:
    with pytest.raises(UsageError):
        placement.part_name("m.safetensors", identity)


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("home/data", "home/data/models/Lora/a.ckpt"),
        ("home/data/", "home/data/models/Lora/a.ckpt"),
        ("/workspace/ComfyUI", "/workspace/ComfyUI/models/Lora/a.ckpt"),
        ("/", "/models/Lora/a.ckpt"),
        (".", "models/Lora/a.ckpt"),
        ("./", "models/Lora/a.ckpt"),
        ("", "models/Lora/a.ckpt"),
        ("with space/データ", "with space/データ/models/Lora/a.ckpt"),
    ],
)
def test_a_path_begins_with_the_root_as_it_was_given(root: str, path: str) -> None:
    assert placement.join(root, "models/Lora", "a.ckpt") == path


@pytest.mark.parametrize("folder", ["", "/etc", "..", "a/../../b", "a//b", "a/./b", "a/", "a\\b", "C:/x", "a\nb"])
def test_a_folder_that_is_not_below_the_root_is_refused(folder: str) -> None:
    assert placement.folder_fault(folder)
    with pytest.raises(UsageError):
        placement.join("root", folder, "a.ckpt")


@pytest.mark.parametrize("root", ["home/data", "/workspace", "/", ".", "/C:/sd", "with space"])
def test_a_root_may_be_relative_or_absolute(root: str) -> None:
    assert placement.root_fault(root) is None


@pytest.mark.parametrize("root", ["../x", "a/../b", "a\\b", "a\nb"])
def test_root_with_dots_or_hidden_characters_is_refused(root: str) -> None:
    assert placement.root_fault(root)


def test_placing_joins_folder_name_and_root() -> None:
    placed = placement.place("m.safetensors", Kind.CHECKPOINT, WEBUI, {}, "home/data")
    assert placed == placement.Placement(
        folder="models/Stable-diffusion",
        name="m.safetensors",
        path="home/data/models/Stable-diffusion/m.safetensors",
    )


@given(name=NASTY, folder=NASTY, root=st.sampled_from(["", ".", "/", "home/data", "/work space"]))
@example(name="a.ckpt", folder="models", root="/")
@example(name="..", folder="models", root="home/data")
@example(name="a.ckpt", folder="a/../..", root="home/data")
def test_path_of_any_name_stays_below_root_or_is_refused(name: str, folder: str, root: str) -> None:
    try:
        path = placement.join(root, folder, name)
    except UsageError:
        return
    base = posixpath.normpath(root or ".")
    inside = posixpath.relpath(posixpath.join("/start", path), posixpath.join("/start", base))
    assert posixpath.normpath(inside) == inside == f"{folder}/{name}"
    assert not inside.startswith(("../", "/"))


@given(stem=NASTY, ending=st.sampled_from([".safetensors", ".ckpt", ".CKPT", ""]))
def test_any_name_is_safe_and_listed_or_refused(stem: str, ending: str) -> None:
    try:
        name = placement.check_name(stem + ending, WEBUI)
    except UsageError:
        return
    assert "/" not in name
    assert name.isprintable() or not name.isascii()
    assert not name.startswith(".")
    assert name.lower().endswith((".safetensors", ".ckpt"))
    assert placement.check_name(name, WEBUI) == name
    assert len(placement.part_name(name, "0" * 8).encode()) <= 255


@given(name=NASTY.filter(bool))
def test_a_completed_name_needs_no_completion(name: str) -> None:
    completed = placement.complete_name(name, ".safetensors")
    assert placement.complete_name(completed, None) == completed
