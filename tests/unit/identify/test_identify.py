from __future__ import annotations

import io
import json
import pickle
import time
import tracemalloc
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.servers.models import PRESETS, safetensors
from uploader.artifact import Kind
from uploader.errors import NotAModel, Truncated, UploaderError
from uploader.identify import Identity, identify, refuse, remarks

MODEL = safetensors("checkpoint", size_bytes=100_000)


def look(content: bytes, name: str = "a.safetensors", size: int | None = -1) -> Identity:
    known = len(content) if size == -1 else size
    return identify(lambda offset, length: content[offset : offset + length], known, name)


def raw(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(begin: int, end: int, dtype: str = "U8", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"x" * 100)
    return out.getvalue()


def refusal(content: bytes, name: str = "a.safetensors", *, allow_pickle: bool = False) -> UploaderError | None:
    try:
        refuse(look(content, name), name, allow_pickle=allow_pickle)
    except UploaderError as error:
        return error
    return None


# whole or not -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_identify_sound_model_is_complete_and_placed(preset: str) -> None:
    content = safetensors(preset)
    found = look(content)
    assert (found.container, found.complete, found.problems) == ("safetensors", True, ())
    assert (found.extension, found.expected_size) == (".safetensors", len(content))
    assert refusal(content) is None


@pytest.mark.parametrize("cut", [1, 50_000, 99_000])
def test_refusal_of_a_truncated_file_names_both_sizes(cut: int) -> None:
    error = refusal(MODEL[:-cut])
    assert isinstance(error, Truncated)
    assert error.exit_code == 7
    assert str(len(MODEL) - cut) in error.message


def test_refusal_of_cut_data_names_the_missing_bytes() -> None:
    error = refusal(MODEL[:-10])
    assert error is not None
    assert "100000" in error.message
    assert "99990" in error.message


def test_refusal_of_a_too_long_file_names_both_sizes() -> None:
    error = refusal(MODEL + b"\0" * 7)
    assert isinstance(error, Truncated)
    assert "100000" in error.message
    assert "100007" in error.message


@given(st.integers(9, len(MODEL) - 1))
def test_identify_prefix_of_a_model_is_never_complete(length: int) -> None:
    assert isinstance(refusal(MODEL[:length]), Truncated)


@pytest.mark.parametrize("length", range(1, 9))
def test_identify_few_bytes_are_no_model(length: int) -> None:
    assert isinstance(refusal(MODEL[:length]), NotAModel)


def test_identify_unknown_size_leaves_completeness_open() -> None:
    found = look(MODEL, size=None)
    assert (found.complete, found.problems, found.kind) == (None, (), Kind.CHECKPOINT)
    assert found.expected_size == len(MODEL)


def test_header_longer_than_the_first_read_is_read_to_its_end() -> None:
    metadata = {"ss_tag_frequency": "x" * 2_000_000}
    assert look(safetensors("lora", metadata=metadata)).complete is True
    assert look(safetensors("lora", metadata=metadata)[:1_000_000], size=None).complete is False


@pytest.mark.parametrize("blanks", [b"", b" ", b"\n\t  "])
@pytest.mark.parametrize("opening", [b'{"', b'{ "'])
def test_header_after_blanks_is_read_with_a_warning(blanks: bytes, opening: bytes) -> None:
    text = json.dumps({"emb_params": tensor(0, 3072, "F16", [2, 768])}).encode()
    content = raw(blanks + text.replace(b'{"', opening, 1) + b"  ", bytes(3072))
    found = look(content)
    assert (found.container, found.kind, found.complete) == ("safetensors", Kind.EMBEDDING, True)
    assert refusal(content) is None
    assert bool(remarks(found)) is (blanks + opening != b'{"')


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": tensor(0, 4), "b": tensor(2, 6)}, "overlaps"),
        ({"a": tensor(0, 4), "b": tensor(5, 6)}, "unused"),
        ({"a": tensor(1, 6)}, "unused"),
    ],
)
def test_header_with_overlaps_or_holes_is_refused(header: object, said: str) -> None:
    error = refusal(raw(header, b"123456"))
    assert isinstance(error, Truncated)
    assert said in error.message


# hostile headers --------------------------------------------------------------------------------------

HOSTILE: dict[str, bytes] = {
    "longer than any": (100_000_001).to_bytes(8, "little") + b'{"a":1}',
    "longer than a disk": (2**64 - 1).to_bytes(8, "little") + b'{"a":1}',
    "not json": raw(b"{not json at all"),
    "not utf-8": raw(b'{"\xff\xfe":1}'),
    "deep": raw(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "deep objects": raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a name twice": raw(
        b'{"a":' + json.dumps(tensor(0, 1)).encode() + b',"a":' + json.dumps(tensor(0, 1)).encode() + b"}", b"1"
    ),
    "an offset twice": raw(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1"),
    "no table": raw(b'{"a":1}'),
    "a list for a tensor": raw(b'{"a":[]}'),
    "no type": raw({"a": {"shape": [1], "data_offsets": [0, 1]}}, b"1"),
    "no shape": raw({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, b"1"),
    "no offsets": raw({"a": {"dtype": "U8", "shape": [1]}}, b"1"),
    "three offsets": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1]}}, b"1"),
    "negative": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]}}),
    "backwards": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}),
    "texts for numbers": raw({"a": {"dtype": "U8", "shape": ["1"], "data_offsets": ["0", "1"]}}, b"1"),
    "fractions": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0.0, 1.0]}}, b"1"),
    "truths for numbers": raw({"a": {"dtype": "U8", "shape": [True], "data_offsets": [False, True]}}, b"1"),
    "a number without end": raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,' + b"9" * 100_000 + b"]}}"),
    "beyond 64 bits": raw({"a": {"dtype": "?", "shape": [1], "data_offsets": [0, 2**64]}}),
    "not a number": raw(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}', b"1"),
    "a shape that does not fit": raw({"a": tensor(0, 4, "F32", [2])}, b"1234"),
    "a shape of many axes": raw({"a": tensor(0, 4, "F32", [2**63] * 50_000)}, b"1234"),
    "metadata that is no table": raw({"__metadata__": [1], "a": tensor(0, 1)}, b"1"),
    "metadata that is no text": raw({"__metadata__": {"a": 1}, "a": tensor(0, 1)}, b"1"),
    "no tensors": raw({}),
    "too many tensors": raw({str(number): tensor(0, 0) for number in range(200_001)}),
    "a name that is no text": raw(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"1234"),
    "a name without end": raw({"a" * 1_000_000: tensor(0, 4, "F32", [2])}, b"1234"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_header_that_is_hostile_is_refused(content: bytes) -> None:
    began = time.monotonic()
    error = refusal(content)
    assert isinstance(error, (NotAModel, Truncated))
    assert len(error.message.encode()) < 500
    assert time.monotonic() - began < 20  # of a busy machine; test_bounds measures


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6), st.integers(0, 40))
def test_identify_complete_means_tensors_cover_all_bytes(places: list[tuple[int, int]], size: int) -> None:
    places = [(min(place), max(place)) for place in places]
    found = look(raw({str(number): tensor(*place) for number, place in enumerate(places)}, bytes(size)))
    covered = [0] * size
    for begin, end in places:
        for at in range(begin, min(end, size)):
            covered[at] += 1
    exact = set(covered) <= {1} and max(end for _, end in places) == size
    if found.complete:
        assert exact
    elif not any(begin == end for begin, end in places):  # an empty tensor within another one is an overlap too
        assert not exact


@settings(max_examples=examples(50))
@given(st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_header_of_a_false_length_is_refused(length: int, rest: bytes) -> None:
    content = length.to_bytes(8, "little") + b"{" + rest
    assert isinstance(refusal(content), NotAModel | Truncated)


@settings(max_examples=examples(50))
@given(st.integers(1, 60_000), st.sampled_from([b"[", b'{"a":', b'[{"":']))
def test_header_nested_to_any_depth_is_refused(depth: int, opening: bytes) -> None:
    assert isinstance(refusal(raw(b'{"a":' + opening * depth)), NotAModel)
    assert isinstance(refusal(raw(b'{"__metadata__":' + opening * depth)), NotAModel)


@settings(max_examples=examples(50))
@given(st.lists(st.text(max_size=5), min_size=1, max_size=8, unique=True), st.data())
def test_header_with_a_name_twice_is_refused(names: list[str], data: st.DataObject) -> None:
    twice = [*names, data.draw(st.sampled_from(names))]
    entries = ",".join(f"{json.dumps(name)}:{json.dumps(tensor(0, 0))}" for name in twice)
    assert isinstance(refusal(raw(f"{{{entries}}}".encode())), NotAModel)
    told = ",".join(f'{json.dumps(name)}:""' for name in twice)
    header = f'{{"__metadata__":{{{told}}},"a":{json.dumps(tensor(0, 1))}}}'
    assert isinstance(refusal(raw(header.encode(), b"1")), NotAModel)


def test_header_that_claims_much_costs_little() -> None:
    tracemalloc.start()
    try:
        look(HOSTILE["longer than a disk"], size=2**63)
        look((99_000_000).to_bytes(8, "little") + b'{"a":1}', size=2**63)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=400), st.sampled_from(["a.safetensors", "a.ckpt", "a.gguf", "a", "a.onnx"]))
def test_identify_survives_any_bytes(content: bytes, name: str) -> None:
    refusal(content, name)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_identify_survives_any_json(header: object) -> None:
    refusal(raw({"a": header, "__metadata__": {}}))
    refusal(raw({"a": {"dtype": "U8", "shape": header, "data_offsets": header}}))


def test_identify_raises_a_lost_connection() -> None:
    def read(offset: int, length: int) -> bytes:
        raise UploaderError("cut")

    with pytest.raises(UploaderError, match="cut"):
        identify(read, 10, "a")


# other containers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "container"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\xef\xbb\xbf\n  <HTML><head>", "html"),
        ("<html>".encode("utf-16"), "html"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "html"),
        (b'{"error": "Unauthorized", "message": "log in"}', "json"),
        (b'{"a":1}{', "json"),
        (b"[1, 2]", "json"),
        (b"{}", "json"),
        (b"7z\xbc\xaf\x27\x1c....", "archive"),
        (b"Rar!\x1a\x07", "archive"),
        (b"\x1f\x8b\x08\x00", "archive"),
        (b"\0" * 257 + b"ustar\x0000", "archive"),
        (zipped("readme.txt", "model.safetensors"), "archive"),
        (zipped("archive/data.pkl", "archive/version"), "zip"),
        (zipped("archive/version", "archive/data/0", "archive/data.pkl"), "zip"),
        (pickle.dumps({"state_dict": 1}, protocol=2), "pickle"),
        (pickle.dumps({"state_dict": 1}, protocol=5), "pickle"),
        (b"GGUF\x03\0\0\0" + b"\0" * 16, "gguf"),
        (b"\x89PNG\r\n\x1a\n", "unknown"),
        (b"plain words", "unknown"),
    ],
)
@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt", "a"])
def test_identify_bytes_overrule_the_name(content: bytes, container: str, name: str) -> None:
    assert look(content, name).container == container


@pytest.mark.parametrize("content", [b"", b"<html></html>", b'{"error": 1}', b"Rar!\x1a\x07", zipped("a.txt")])
@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt", "a.html", "a"])
def test_refusal_of_no_model_ignores_name_and_flags(content: bytes, name: str) -> None:
    error = refusal(content, name, allow_pickle=True)
    assert isinstance(error, NotAModel)
    assert error.exit_code == 4
    assert error.remedy


PICKLES = [
    b"\x80\x02cos\nsystem\n.",
    zipped("archive/data.pkl"),
    b"cos\nsystem\n.",  # has no mark of its own
]


@pytest.mark.parametrize("content", PICKLES)
@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.PTH", "a.bin"])
def test_refusal_of_a_dangerous_pickle_unless_allowed(content: bytes, name: str) -> None:
    error = refusal(content, name)
    assert isinstance(error, NotAModel)
    assert "run code" in error.message
    assert "safetensors" in str(error.remedy)
    assert "--allow-pickle" in str(error.remedy)
    assert refusal(content, name, allow_pickle=True) is None


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.bin"])
def test_refusal_of_an_unreadable_pickle_unless_allowed(name: str) -> None:
    error = refusal(b"words and more words", name)
    assert isinstance(error, NotAModel)
    assert "run code" in error.message
    assert refusal(b"words and more words", name, allow_pickle=True) is None


@pytest.mark.parametrize("content", [*PICKLES, b"words", b"GGUF\x03\0\0\0" + b"\0" * 16])
@pytest.mark.parametrize("allow_pickle", [True, False])
def test_refusal_of_another_format_named_safetensors(content: bytes, allow_pickle: bool) -> None:
    assert isinstance(refusal(content, "a.safetensors", allow_pickle=allow_pickle), NotAModel)


def test_refusal_of_safetensors_named_pickle_gives_right_name() -> None:
    error = refusal(MODEL, "a.ckpt", allow_pickle=True)
    assert isinstance(error, NotAModel)
    assert "a.safetensors" in str(error.remedy)


@pytest.mark.parametrize("name", ["a", "a.SafeTensors", "a.sft", "a.v1"])
def test_safetensors_is_placed_with_its_ending_or_none(name: str) -> None:
    assert refusal(MODEL, name) is None


def test_refusal_of_a_git_lfs_pointer_says_so() -> None:
    error = refusal(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a.bin", allow_pickle=True)
    assert isinstance(error, NotAModel)
    assert "Git LFS" in error.message


def test_identify_unknown_format_is_no_error() -> None:
    assert look(b"\x08\x07some onnx", "a.onnx") == Identity("unknown")
    assert refusal(b"\x08\x07some onnx", "a.onnx") is None
