"""Makes small real torch files without torch: its zips and its older streams, written opcode by opcode."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]

_MAGIC = 0x1950A86A20F9469CFC6C
_WIDTHS = {"HalfStorage": 2, "FloatStorage": 4, "LongStorage": 8}


@dataclass(frozen=True)
class Name:
    """A global, looked up by GLOBAL."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What REDUCE makes of a callable and its arguments, or NEWOBJ of a class; `state` is set on it by BUILD."""

    maker: object
    arguments: tuple[object, ...] = ()
    state: object = None
    new: bool = False


@dataclass(frozen=True)
class Tensor:
    shape: Shape
    storage: str = "HalfStorage"


@dataclass(frozen=True)
class Raw:
    """Opcodes that leave one value."""

    opcodes: bytes


@dataclass
class _Writing:
    legacy: bool
    storages: list[tuple[str, int, int]] = field(default_factory=list)
    """Key, count of numbers, bytes of one."""

    def one(self, value: object) -> bytes:
        return b"\x80\x02" + self.value(value) + b"."

    def value(self, value: object) -> bytes:
        match value:
            case Raw(opcodes):
                return opcodes
            case Name(module, name):
                return f"c{module}\n{name}\n".encode()
            case Call(maker, arguments, state, new):
                made = self.value(maker) + self.value(arguments) + (b"\x81" if new else b"R")
                return made if state is None else made + self.value(state) + b"b"
            case Tensor():
                return self._tensor(value)
            case tuple() | list() | dict():
                return self._group(value)
            case _:
                return _plain(value)

    def _group(self, group: tuple[object, ...] | list[object] | dict[object, object]) -> bytes:
        match group:
            case tuple():
                return b"(" + b"".join(map(self.value, group)) + b"t"
            case list():
                return b"](" + b"".join(map(self.value, group)) + b"e"
            case _:
                return b"}(" + b"".join(self.value(key) + self.value(item) for key, item in group.items()) + b"u"

    def _tensor(self, tensor: Tensor) -> bytes:
        numbers, key = math.prod(tensor.shape), str(len(self.storages))
        self.storages.append((key, numbers, _WIDTHS[tensor.storage]))
        view = (None,) if self.legacy else ()
        storage = self.value(("storage", Name("torch", tensor.storage), key, "cpu", numbers, *view)) + b"Q"
        strides = tuple(math.prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape)))
        hooks = Call(Name("collections", "OrderedDict"))
        made = Call(Name("torch._utils", "_rebuild_tensor_v2"), (Raw(storage), 0, tensor.shape, strides, False, hooks))
        return self.value(made)


def _plain(value: object) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            packed = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(packed)]) + packed
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
    raise TypeError(value)


def torch_zip(
    value: object, *, modern: bool = False, more: Mapping[str, bytes] | None = None, deflate: bool = False
) -> bytes:
    """Return the zip that torch 1.6 and later write; `modern` adds the members of 2.1 and later, `more` others."""
    writing = _Writing(legacy=False)
    members = {"data.pkl": writing.one(value)}
    if modern:
        members["byteorder"] = b"little"
    members |= {f"data/{key}": bytes(count * width) for key, count, width in writing.storages}
    members |= {"version": b"3\n"} | ({".data/serialization_id": b"0" * 40} if modern else {}) | dict(more or {})
    return zipped({f"archive/{name}": content for name, content in members.items()}, deflate=deflate)


def torch_legacy(value: object) -> bytes:
    """Return the stream that torch wrote before 1.6: five pickles, and then the storages."""
    writing = _Writing(legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [writing.one(_MAGIC), writing.one(1001), writing.one(system), writing.one(value)]
    parts.append(writing.one([key for key, _, _ in writing.storages]))
    parts += [count.to_bytes(8, "little") + bytes(count * width) for _, count, width in writing.storages]
    return b"".join(parts)


def bare_pickle(value: object) -> bytes:
    """Return one pickle of protocol 2 that is no file of torch's."""
    return _Writing(legacy=False).one(value)


def zipped(members: Mapping[str, bytes], *, deflate: bool = False, stream: bool = False) -> bytes:
    """Return a zip; a `stream` has its sizes after the data, as torch's own writer does."""
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(_Forwards(out) if stream else out, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


class _Forwards(io.RawIOBase):
    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._out.write(bytes(data))  # type: ignore[call-overload]


def with_two_directories(content: bytes) -> bytes:
    """Return a zip with the 64-bit directory record before its end too, as torch's own writer always has it."""
    body, end = content[:-22], content[-22:]
    count, length, begin = struct.unpack_from("<HII", end, 10)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, begin)
    return body + record + b"PK\x06\x07" + struct.pack("<IQI", 0, len(body), 1) + end


def weights(shapes: Mapping[str, Shape]) -> Call:
    """Return an ordered dictionary of tensors."""
    pairs: list[object] = [(name, Tensor(shape)) for name, shape in shapes.items()]
    return Call(Name("collections", "OrderedDict"), (pairs,))


def lightning_checkpoint(shapes: Mapping[str, Shape]) -> dict[object, object]:
    """Return what the trainer of the first Stable Diffusion models left."""
    callback = Name("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    kind = Call(Name("numpy", "dtype"), ("f8", 0, 1))
    score = Call(Name("numpy.core.multiarray", "scalar"), (kind, Call(Name("_codecs", "encode"), ("x", "latin1"))))
    return {
        "epoch": 3,
        "global_step": 470000,
        "state_dict": weights(shapes),
        "callbacks": {callback: {"best_model_score": score, "monitor": "val/loss"}},
    }


def embedding(width: int = 768) -> dict[object, object]:
    """Return a textual inversion as AUTOMATIC1111 trains it."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": Tensor((4, width), "FloatStorage")},
        "name": "my-style",
        "step": 500,
        "sd_checkpoint": None,
    }


def first_embedding(width: int = 768) -> dict[object, object]:
    """Return a textual inversion as its first trainer left it: the vectors in a module of torch's."""
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (Tensor((1, width), "FloatStorage"), True, None))
    state = {"training": True, "_parameters": {"*": parameter}, "_buffers": {}, "_non_persistent_buffers_set": None}
    module = Call(Name("torch.nn.modules.container", "ParameterDict"), (), state, new=True)
    return {"string_to_token": {"*": 265}, "string_to_param": module}


def hypernetwork() -> dict[object, object]:
    """Return a hypernetwork as AUTOMATIC1111 trains it: for each width two modules."""

    def module(width: int) -> Call:
        return weights({"linear.0.weight": (width * 2, 4), "linear.0.bias": (4,)})

    widths: dict[object, object] = {width: (module(width), module(width)) for width in (320, 768)}
    return {**widths, "step": 100, "name": "hyper", "layer_structure": [1, 2, 1]}


def yolo() -> dict[object, object]:
    """Return a detector of ultralytics: a whole model, with classes of its own."""
    model = Call(Name("ultralytics.nn.tasks", "DetectionModel"), (), {"_parameters": {}, "names": {0: "face"}})
    return {"epoch": -1, "model": model, "train_args": {"task": "detect"}}
