from __future__ import annotations

import io
import pickle
import resource
import struct
import tarfile
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.servers.models import PRESETS, safetensors
from tests.servers.torch_files import (
    Call,
    Name,
    Raw,
    Tensor,
    bare_pickle,
    embedding,
    first_embedding,
    hypernetwork,
    lightning_checkpoint,
    torch_legacy,
    torch_zip,
    weights,
    with_two_directories,
    yolo,
    zipped,
)
from uploader.artifact import Kind
from uploader.errors import NotAModel, Truncated, UploaderError
from uploader.identify import Identity, identify, refuse
from uploader.identify.pickle_allowlist import ALLOWED

SYSTEM = b"cos\nsystem\n"
RUN = b"(X\x02\x00\x00\x00idtR"
WEIGHTS = weights({"a.weight": (2, 3)})


def look(content: bytes, name: str = "a.ckpt", size: int | None = -1) -> Identity:
    known = len(content) if size == -1 else size
    return identify(lambda offset, length: content[offset : offset + length], known, name)


def refusal(content: bytes, name: str = "a.ckpt", *, allow_pickle: bool = False) -> UploaderError | None:
    try:
        refuse(look(content, name), name, allow_pickle=allow_pickle)
    except UploaderError as error:
        return error
    return None


def findings(content: bytes) -> tuple[str, ...]:
    scan = look(content).pickle
    assert scan is not None
    return scan.findings


def text(word: str) -> bytes:
    """SHORT_BINUNICODE of protocol 4."""
    return b"\x8c" + bytes([len(word)]) + word.encode()


# what is clean ----------------------------------------------------------------------------------------

CLEAN: dict[str, tuple[object, Kind | None, str | None]] = {
    "a checkpoint": (lightning_checkpoint(PRESETS["checkpoint"]), Kind.CHECKPOINT, "sd1"),
    "an inpainting checkpoint": (
        {
            "state_dict": weights(
                {**PRESETS["sd2-checkpoint"], "model.diffusion_model.input_blocks.0.0.weight": (4, 9, 3, 3)}
            )
        },
        Kind.CHECKPOINT,
        "sd2-inpaint",
    ),
    "a bare table of weights": (weights(PRESETS["vae"]), Kind.VAE, "sd1/sd2/sdxl"),
    "a vae with its trainer": ({"state_dict": weights(PRESETS["vae"])}, Kind.VAE, "sd1/sd2/sdxl"),
    "an embedding": (embedding(), Kind.EMBEDDING, "sd1"),
    "an embedding of the first trainer": (first_embedding(), Kind.EMBEDDING, "sd1"),
    "an embedding of version 2": (embedding(1024), Kind.EMBEDDING, "sd2"),
    "a hypernetwork": (hypernetwork(), Kind.HYPERNETWORK, None),
    "an upscaler": ({"params_ema": weights(PRESETS["upscaler"])}, Kind.UPSCALER, None),
    "a motion module": (weights(PRESETS["motion-module"]), Kind.MOTION_MODULE, None),
    "a controlnet": ({"state_dict": weights(PRESETS["controlnet"])}, Kind.CONTROLNET, "sd1"),
}


@pytest.mark.parametrize("made", [torch_zip, torch_legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", CLEAN.values(), ids=CLEAN.keys())
def test_pickle_that_is_clean_is_placed_with_its_kind(
    case: tuple[object, Kind | None, str | None], made: Callable[[object], bytes]
) -> None:
    value, kind, architecture = case
    found = look(made(value))
    assert found.pickle is not None
    assert (found.pickle.findings, found.pickle.strict) == ((), ())
    assert (found.kind, found.described, found.complete) == (kind, architecture, True)
    assert refusal(made(value)) is None


@pytest.mark.parametrize("change", [with_two_directories, lambda content: content], ids=["two directories", "one"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("deflate", [True, False])
def test_zip_laid_out_by_torch_is_clean(change: Callable[[bytes], bytes], stream: bool, deflate: bool) -> None:
    members = {"archive/data.pkl": bare_pickle(WEIGHTS), "archive/data/0": bytes(12), "archive/version": b"3\n"}
    content = change(zipped(members, deflate=deflate, stream=stream))
    assert (look(content).complete, refusal(content)) == (True, None)


def test_pickle_of_a_detector_is_refused_unless_allowed() -> None:
    content = torch_zip(yolo())
    assert look(content).kind is Kind.DETECTOR
    error = refusal(content)
    assert error is not None
    assert "ultralytics.nn.tasks.DetectionModel" in error.message
    assert refusal(content, allow_pickle=True) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(min_size=1, max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    ),
    st.integers(0, 5),
)
def test_pickle_of_plain_data_is_clean_in_each_protocol(value: object, protocol: int) -> None:
    # Protocols below 3 have no bytes, and make them by a name that is allowed.
    assert findings(b"\x80\x02" + pickle.dumps(value, protocol)) == ()


def test_pickle_refused_by_automatic1111_only_is_clean() -> None:
    scan = look(torch_zip({"state_dict": WEIGHTS, "dtype": Name("torch", "int64")}, modern=True)).pickle
    assert scan is not None
    assert scan.findings == ()
    assert scan.strict == ("torch.int64", "byteorder (in the zip)", ".data/serialization_id (in the zip)")


# published ways around scanners -----------------------------------------------------------------------

STREAMS: dict[str, tuple[bytes, str]] = {
    "a global": (b"\x80\x02" + SYSTEM + RUN + b".", "os.system"),
    "a global of protocol 0": (b"cos\nsystem\n(S'id'\ntR.", "os.system"),
    "a stack global": (b"\x80\x04" + text("os") + text("system") + b"\x93" + RUN + b".", "os.system"),
    "a stack global through the memo": (
        b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x940" + text("collections") + b"h\x00h\x01\x93" + b".",
        "os.system",
    ),
    # The memo as loaders number it, where a scanner that counts MEMOIZE alone finds harmless names.
    "a memo numbered in two ways": (
        b"\x80\x04" + text("os") + b"q\x00" + text("system") + b"q\x01" + text("collections") + b"\x94"
        b"" + text("OrderedDict") + b"\x94h\x00h\x01\x93.",
        "os.system",
    ),
    "a memo that is overwritten": (
        b"\x80\x04" + text("collections") + b"q\x00" + text("os") + b"q\x00" + text("system") + b"q\x01h\x00h\x01\x93.",
        "os.system",
    ),
    "operands behind others": (
        b"\x80\x04" + text("os") + text("system") + text("collections") + text("OrderedDict") + b"00\x93.",
        "os.system",
    ),
    "operands doubled": (b"\x80\x04" + text("os") + b"2\x93.", "os.os"),
    "operands behind a mark": (b"\x80\x04" + text("os") + text("system") + b"(" + text("x") + b"1\x93.", "os.system"),
    "operands that a call makes": (
        b"\x80\x04" + text("os") + b"c_codecs\nencode\n" + b"(" + text("system") + text("utf-8") + b"tR\x93.",
        "put together",
    ),
    "operands that are numbers": (b"\x80\x04K\x01K\x02\x93.", "put together"),
    "operands of an older text": (b"\x80\x04U\x02osU\x06system\x93.", "os.system"),
    "inst": (b"(S'id'\nios\nsystem\n.", "os.system"),
    "obj": (b"\x80\x02(" + SYSTEM + b"X\x02\x00\x00\x00ido.", "os.system"),
    "newobj": (b"\x80\x02csubprocess\nPopen\n(X\x02\x00\x00\x00idt\x81.", "subprocess.Popen"),
    "newobj with keywords": (b"\x80\x04csubprocess\nPopen\n(X\x02\x00\x00\x00idt}\x92.", "subprocess.Popen"),
    "getattr": (b"\x80\x02c__builtin__\ngetattr\n(cnumpy\nndarray\nX\x04\x00\x00\x00itemtR.", "__builtin__.getattr"),
    "attrgetter": (b"\x80\x02coperator\nattrgetter\n(X\x06\x00\x00\x00systemtR.", "operator.attrgetter"),
    "resolve_name": (b"\x80\x02cpkgutil\nresolve_name\n(X\x09\x00\x00\x00os:systemtR.", "pkgutil.resolve_name"),
    "import_module": (b"\x80\x02cimportlib\nimport_module\n(X\x02\x00\x00\x00ostR.", "importlib.import_module"),
    "a name with dots": (b"\x80\x04" + text("numpy") + text("ndarray.__class__") + b"\x93.", "numpy.ndarray.__class__"),
    "a name of the loader's own": (
        b"\x80\x04" + text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93.",
        "__globals__",
    ),
    "another pickle inside": (
        b"\x80\x02ctorch.storage\n_load_from_bytes\n(X\x01\x00\x00\x00xtR.",
        "torch.storage._load_from_bytes",
    ),
    "torch's own runner": (b"\x80\x02ctorch.utils.collect_env\nrun\n(X\x02\x00\x00\x00idtR.", "collect_env.run"),
    "a function nobody listed": (b"\x80\x02ctimeit\ntimeit\n(X\x02\x00\x00\x00idtR.", "timeit.timeit"),
    "builtins under the old name": (b"\x80\x02c__builtin__\neval\n(X\x01\x00\x00\x001tR.", "__builtin__.eval"),
    "a call of a result": (b"\x80\x02ccollections\ndefaultdict\n)R)R.", "a call of"),
    "a call of a text": (b"\x80\x02X\x02\x00\x00\x00id)R.", "a call of"),
    # Attributes set on a module or class that is allowed, and looked up again.
    "a changed class": (
        b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aX\x02\x00\x00\x00ossb.",
        "a change of numpy.ndarray",
    ),
    "a changed module": (
        b"\x80\x02cpytorch_lightning.callbacks\nmodel_checkpoint\nN}X\x02\x00\x00\x00osNs\x86b.",
        "a change of pytorch_lightning",
    ),
    "a slot of a class": (b"\x80\x02cnumpy\nndarray\nX\x01\x00\x00\x00aNs.", "a change of numpy.ndarray"),
    "an extension code": (b"\x80\x02\x82\x01.", "extension code"),
    "a wide extension code": (b"\x80\x02\x84\x01\x00\x00\x00.", "extension code"),
    "a persistent id in text": (b"Px\n.", "only the program"),
    "a persistent id of a module": (
        b"\x80\x02(X\x06\x00\x00\x00modulecos\nsystem\nX\x01\x00\x00\x00aX\x01\x00\x00\x00btQ.",
        "os.system",
    ),
    "a persistent id that is no storage": (b"\x80\x02X\x01\x00\x00\x00xQ.", "only the program"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "a buffer"),
    "a stream that breaks after its deed": (b"\x80\x02" + SYSTEM + RUN + b"\xff\xff", "os.system"),
    "a stream that never stops": (b"\x80\x02" + SYSTEM + RUN, "os.system"),
    "a memo that was never filled": (b"\x80\x02h\x07" + SYSTEM + RUN + b".", "a broken pickle"),
    "a number of the memo without bounds": (b"\x80\x02Nr\xff\xff\xff\xff.", "a broken pickle"),
    "a protocol of the future": (b"\x80\x02\x80\x06N.", "a broken pickle"),
    "an oversized argument": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "more than can be looked"),
    "a size beyond any": (b"\x80\x04\x8d" + b"\xff" * 8 + b"x.", "a broken pickle"),
    "a line without end": (b"\x80\x02c" + b"a" * 200_000, "more than can be looked"),
    "a second pickle behind the first": (b"\x80\x02N." + b"\x80\x02" + SYSTEM + RUN + b".", "os.system"),
    "bytes behind a pickle": (b"\x80\x02N.\xff\xff\xff", "no pickle, behind one"),
    "a text with an unknown escape": (b"\x80\x02S'\\q'\ncos\nsystem\n.", ""),
    "an empty stack": (b"\x80\x02.", "a broken pickle"),
    "a mark for a value": (b"\x80\x02(\x85.", "a broken pickle"),
}


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS.keys())
def test_pickle_that_may_run_code_is_refused_by_name(case: tuple[bytes, str]) -> None:
    content, said = case
    error = refusal(content)
    assert isinstance(error, NotAModel)
    assert error.exit_code == 4
    assert said in error.message
    assert "safetensors" in str(error.remedy)
    assert "--allow-pickle" in str(error.remedy)
    assert refusal(content, allow_pickle=True) is None


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS.keys())
def test_pickle_that_may_run_code_in_a_zip_is_refused(case: tuple[bytes, str]) -> None:
    content = zipped({"archive/data.pkl": case[0], "archive/version": b"3\n"})
    assert isinstance(refusal(content), NotAModel)


@pytest.mark.parametrize("which", range(5))
def test_legacy_file_has_all_five_pickles_checked(which: int) -> None:
    content = torch_legacy({"state_dict": WEIGHTS})
    starts = [0]
    for _ in range(5):
        file = io.BytesIO(content[starts[-1] :])
        _Recorder(file).load()
        starts.append(starts[-1] + file.tell())
    evil = b"\x80\x02" + SYSTEM + RUN + b"0" + content[starts[which] + 2 :]
    assert findings(content[: starts[which]] + evil)[0] == "os.system"


def test_legacy_file_is_complete_to_the_byte() -> None:
    content = torch_legacy({"state_dict": weights(PRESETS["vae"])})
    assert isinstance(refusal(content[:-1]), Truncated)
    error = refusal(content + b"x")
    assert isinstance(error, NotAModel)
    assert "1 bytes behind its end" in error.message


def tar_in_pickles(checksum: Callable[[bytes], bytes]) -> bytes:
    """Five clean pickles; the first begins with a tar of the oldest kind, whose header is inside of a byte text."""
    evil = b"\x80\x02" + SYSTEM + RUN + b"."
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("storages")
        member.size = len(evil)
        tar.addfile(member, io.BytesIO(evil))
    rest = made.getvalue()
    start = b"\x80\x03B" + struct.pack("<I", 512 + len(rest) - 7)
    fields = b"0000644\0" + b"0000000\0" * 2 + b"00000000000\0" * 2
    header = start.ljust(100, b"a") + fields + b" " * 8 + b"0" + bytes(355)
    header = header[:148] + checksum(header) + header[156:]
    first = header + rest + b"0" + pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[2:]
    others = [1001, {"protocol_version": 1001, "little_endian": True}, {}, []]
    return first + b"".join(pickle.dumps(value, protocol=2) for value in others)


@pytest.mark.parametrize(
    "checksum",
    [
        lambda header: b"%06o\0 " % sum(header),
        lambda header: b"%8o" % sum(byte - 256 * (byte > 127) for byte in header),
        lambda header: b"\x80" + sum(header).to_bytes(7),
    ],
    ids=["unsigned", "signed", "in base 256"],
)
def test_tar_without_a_mark_is_no_pickle(checksum: Callable[[bytes], bytes]) -> None:
    content = tar_in_pickles(checksum)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        assert tar.getnames()[1:] == ["storages"]
    reading = io.BytesIO(content)
    assert [pickle.load(reading) for _ in range(5)][3:] == [{}, []]
    assert look(content).container == "archive"
    assert isinstance(refusal(content, "a.pt"), NotAModel)


def test_safetensors_named_pickle_is_refused_even_if_allowed() -> None:
    for allowed in (True, False):
        error = refusal(safetensors("checkpoint"), "a.ckpt", allow_pickle=allowed)
        assert isinstance(error, NotAModel)
        assert "a.safetensors" in str(error.remedy)


def test_refusal_of_many_names_is_short() -> None:
    content = b"\x80\x02" + b"".join(f"cm\nn{number}\n".encode() for number in range(500)) + b"."
    error = refusal(content)
    assert error is not None
    assert "and 12 more" in error.message
    assert len(error.message) < 400


def test_refusal_shows_no_control_characters() -> None:
    error = refusal(b"\x80\x02c\x1b[2J\nx\n.")
    assert error is not None
    assert "\x1b" not in error.message


# zips -------------------------------------------------------------------------------------------------

GOOD = torch_zip({"state_dict": WEIGHTS})
EVIL = b"\x80\x02" + SYSTEM + RUN + b"."


def test_zip_member_of_another_name_is_checked() -> None:
    for name in ("config.p", "extra/evil.pkl", "code.bin", "notes", "other.pickle"):
        assert "os.system" in findings(torch_zip({}, more={name: EVIL}))


def test_zip_member_that_is_text_is_no_pickle() -> None:
    assert findings(torch_zip({}, more={"notes.txt": b"trained on cats\n", "empty": b""})) == ()


def test_zip_member_that_is_packed_is_checked() -> None:
    assert findings(torch_zip(Raw(SYSTEM + RUN), deflate=True)) == ("os.system",)


def test_zip_in_a_zip_is_checked_and_a_third_refused() -> None:
    inner = zipped({"archive/data.pkl": EVIL})
    assert findings(torch_zip({}, more={"nested.pt": inner})) == ("os.system",)
    deeper = zipped({"a/b.pt": zipped({"archive/data.pkl": EVIL})})
    assert findings(torch_zip({}, more={"nested.pt": deeper})) == ("more than can be looked through",)
    assert "cannot be read" in findings(torch_zip({}, more={"nested.pt": inner[:60]}))[0]


@pytest.mark.parametrize("cut", [1, 22, 100, 400])
def test_zip_that_is_truncated_is_incomplete(cut: int) -> None:
    error = refusal(GOOD[:-cut])
    assert isinstance(error, Truncated)
    assert error.exit_code == 7


def test_zip_with_a_wrong_checksum_is_checked() -> None:
    content = torch_zip(Raw(SYSTEM + RUN))
    at = content.rfind(b"PK\x01\x02")
    assert findings(content[: at + 16] + b"\0\0\0\0" + content[at + 20 :]) == ("os.system",)


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
@pytest.mark.parametrize("mark", [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)], ids=["its own", "the directory's"])
def test_zip_member_marked_as_encrypted_is_refused(flag: int, mark: tuple[bytes, int]) -> None:
    at = GOOD.index(mark[0]) + mark[1]
    changed = GOOD[:at] + struct.pack("<H", flag) + GOOD[at + 2 :]
    assert "encrypted" in findings(changed)[0]


def test_zip_member_with_two_names_is_refused() -> None:
    at = GOOD.index(b"archive/data.pkl")
    assert "another name" in findings(GOOD[:at] + b"archive/datA.pkl" + GOOD[at + 16 :])[0]


def test_zip_members_of_one_name_in_any_case_are_refused() -> None:
    content = torch_zip({}, more={"DATA.pkl": EVIL})
    assert findings(content) == ("it holds two members of one name",)


def test_zip_member_of_an_unknown_method_is_refused() -> None:
    content = bytearray(GOOD)
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.index(mark) + at
        content[start : start + 2] = struct.pack("<H", 14)
    assert "packed in a way" in findings(bytes(content))[0]


def test_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zipped({"archive/data.pkl": b"\x80\x02" + bytes(40 << 20)}, deflate=True)
    assert len(bomb) < 100_000
    assert findings(bomb) == ("more than can be looked through",)


def test_zip_of_seven_gigabytes_is_read_at_its_ends() -> None:
    pickled, weights_bytes = bare_pickle(WEIGHTS), 7 << 30
    members = {"archive/data.pkl": (0, len(pickled)), "archive/data/0": (0, weights_bytes), "archive/version": (0, 2)}
    chunks: dict[int, bytes] = {}
    directory, at = b"", 0
    for name, (_, size) in members.items():
        head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 45, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name.encode()
        chunks[at] = head + (pickled if name.endswith("data.pkl") else b"3\n" if name.endswith("version") else b"")
        large = b"".join(struct.pack("<Q", value) for value in (size, size, at) if value >= 0xFFFFFFFF)
        extra = struct.pack("<HH", 1, len(large)) + large if large else b""
        fields = [min(value, 0xFFFFFFFF) for value in (size, size)]
        directory += struct.pack(
            "<4s6H3I5H2I",
            b"PK\x01\x02",
            45,
            45,
            0,
            0,
            0,
            0,
            0,
            *fields,
            len(name),
            len(extra),
            0,
            0,
            0,
            0,
            min(at, 0xFFFFFFFF),
        )
        directory += name.encode() + extra
        at += len(head) + size
    end = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, len(directory), at)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, at + len(directory), 1)
    end += struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 3, 3, len(directory), 0xFFFFFFFF, 0)
    chunks[at] = directory + end

    def read(offset: int, length: int) -> bytes:
        found = bytearray(length)
        for start, chunk in chunks.items():
            for index in range(max(start, offset), min(start + len(chunk), offset + length)):
                found[index - offset] = chunk[index - start]
        return bytes(found)

    found = identify(read, at + len(directory) + len(end), "a.ckpt")
    assert (found.container, found.complete, found.pickle and found.pickle.findings) == ("zip", True, ())


def test_zip_that_starts_as_a_pickle_is_refused() -> None:
    assert findings(b"\x80\x02N." + GOOD)
    legacy = torch_legacy({"state_dict": WEIGHTS})
    assert any("zip behind" in found for found in findings(legacy + GOOD))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"x" * 30,  # a directory that is not at the end
        lambda content: content[:-2] + b"\x05\x00hello",  # one that a comment follows
        lambda content: GOOD[:200] + content,  # one whose offsets are another zip's
        lambda content: content[:-12] + struct.pack("<I", 9) + content[-8:],
        lambda content: content[:-14] + struct.pack("<H", 900) + content[-12:],
    ],
)
def test_zip_that_reads_in_two_ways_is_refused(change: Callable[[bytes], bytes]) -> None:
    assert isinstance(refusal(change(GOOD)), NotAModel | Truncated)


def test_torchscript_is_refused_unless_allowed() -> None:
    content = zipped(
        {
            "m/constants.pkl": b"\x80\x02).",
            "m/code/__torch__.py": b"def forward(self): ...",
            "m/data.pkl": b"\x80\x02N.",
        }
    )
    assert look(content).container == "torchscript"
    error = refusal(content, "a.pt")
    assert error is not None
    assert "TorchScript" in error.message
    assert refusal(content, "a.pt", allow_pickle=True) is None


def test_pickle_of_unknown_size_is_checked_when_complete() -> None:
    found = look(GOOD, size=None)
    assert found.pickle is not None
    assert found.pickle.unseen
    refuse(found, "a.ckpt", allow_pickle=False)


# laws -------------------------------------------------------------------------------------------------


class _Stub:
    """Stands for any name that a pickle looks up. It can be called and changed, and does nothing."""

    def __call__(self, *arguments: object, **options: object) -> _Stub:
        return self

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None: ...


class _Recorder(pickle.Unpickler):
    """Python's own unpickler, with nothing to be looked up: it only writes down the names."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.names: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> Any:
        self.names.append((module, name))
        return _Stub()

    def persistent_load(self, id_: object) -> Any:
        return _Stub()


_PIECES = [
    *(text(word) for word in ("os", "system", "collections", "OrderedDict", "torch._utils", "_rebuild_tensor_v2")),
    *(b"\x93", b"\x94", b"0", b"1", b"2", b"(", b"t", b"\x85", b"\x86", b")", b"]", b"}", b"e", b"a", b"s", b"u"),
    *(b"R", b"b", b"o", b"\x81", b"\x92", b"N", b"K\x01", b"Q", b"cos\nsystem\n", b"ccollections\nOrderedDict\n"),
    *(b"ios\nsystem\n", b"icollections\nOrderedDict\n", b"\x8f", b"\x90", b"\x91", b"l", b"d", b"\x82\x01"),
    *(op + bytes([index]) for op in (b"q", b"h") for index in range(3)),
]


@settings(max_examples=examples(400))
@given(st.lists(st.sampled_from(_PIECES), max_size=25))
def test_pickle_check_misses_no_name_that_python_looks_up(chunks: list[bytes]) -> None:
    content = b"\x80\x04" + b"".join(chunks) + b"."
    recorder = _Recorder(io.BytesIO(content))
    try:
        recorder.load()
    except Exception:  # noqa: BLE001 - most of these break, each in its own way
        assert recorder.names is not None
    if any(name not in ALLOWED for name in recorder.names):
        assert findings(content)


@settings(max_examples=examples(200))
@given(st.binary(max_size=300))
def test_pickle_check_survives_any_bytes(content: bytes) -> None:
    look(b"\x80\x02" + content)
    look(zipped({"archive/data.pkl": content}))


@settings(max_examples=examples(200))
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_zip_check_survives_any_changed_byte(at: int, byte: int) -> None:
    look(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"}" * 500_000,
        b"\x80\x02)" + b"\x85" * 500_000,
    ],
    ids=["tables", "nested tuples"],
)
def test_pickle_of_endless_opcodes_ends_soon(content: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    assert findings(content) == ("more than can be looked through",)
    assert time.process_time() - began < 15  # under a tracer that counts lines, too; without its bound it would not end
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_pickle_values_that_hold_themselves_end() -> None:
    content = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."
    assert look(content).kind is None
    doubling = b"".join(b"h%ch%c\x86q%c0" % (n, n, n + 1) for n in range(60))
    assert look(b"\x80\x02}q\x00" + doubling + b"}X\x01\x00\x00\x00ah\x3cs.").kind is None


def test_pickle_check_of_a_large_file_reads_little() -> None:
    content = torch_zip({"state_dict": weights({"first_stage_model.decoder.conv_in.weight": (2000, 2000, 2, 2)})})
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return content[offset : offset + length]

    found = identify(read, len(content), "a.ckpt")
    assert found.kind is Kind.VAE
    assert sum(asked) < 600_000 < len(content)


def test_pickle_tensor_is_known_by_its_shape() -> None:
    found = look(
        torch_zip({"state_dict": Call(Name("collections", "OrderedDict"), ([("emb_params", Tensor((4, 1280)))],))})
    )
    assert (found.kind, found.architecture) == (Kind.EMBEDDING, "sdxl")
