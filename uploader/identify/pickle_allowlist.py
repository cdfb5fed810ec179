"""The names that a pickle may look up: those that only build tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

_STORAGES: Mapping[str, int] = {
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage", "QInt8Storage", "QUInt8Storage"), 1),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
_TYPES = (
    *("float16", "float32", "float64", "bfloat16", "half", "float", "double", "bool", "complex64", "complex128"),
    *("uint8", "int8", "int16", "int32", "int64", "short", "int", "long", "float8_e4m3fn", "float8_e5m2"),
)

STRICT = frozenset(
    {
        ("collections", "OrderedDict"),
        *(("torch._utils", f"_rebuild_{what}") for what in ("tensor_v2", "parameter", "device_tensor_from_numpy")),
        *(("torch", f"{what}Storage") for what in ("Float", "Half", "Int", "Long", "Double", "Byte", "BFloat16")),
        ("torch", "float32"),
        ("torch.nn.modules.container", "ParameterDict"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("_codecs", "encode"),
        ("pytorch_lightning.callbacks", "model_checkpoint"),
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
        ("__builtin__", "set"),
    }
)
"""The list of AUTOMATIC1111's own loader (modules/safe.py of 1.10). It refuses a file with any other name."""

BENIGN = frozenset(
    {
        *(("torch", name) for name in (*_STORAGES, *_TYPES)),
        ("torch", "Size"),
        ("torch", "device"),
        ("torch.storage", "UntypedStorage"),
        *(("torch._utils", f"_rebuild_{what}") for what in ("tensor", "parameter_with_state", "sparse_tensor")),
        ("torch.nn.parameter", "Parameter"),
        ("torch.nn.modules.container", "ParameterList"),
        ("torch.serialization", "_get_layout"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("typing", "OrderedDict"),
        ("collections", "Counter"),
        ("collections", "defaultdict"),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "complex"),
        ("__builtin__", "frozenset"),
        ("__builtin__", "complex"),
        ("argparse", "Namespace"),
    }
)
"""More names that hold or build plain data. AUTOMATIC1111's loader refuses them."""

ALLOWED = STRICT | BENIGN

STRICT_MEMBERS = re.compile(r"[^/]+/(?:data/\d+|version|data\.pkl)")
"""The members of a torch zip that AUTOMATIC1111 accepts. Torch 2.1 and later write more."""

_LARGEST = 1 << 63


def storage_bytes(name: str, numbers: int) -> int | None:
    """Return the bytes of a storage of that class and that many `numbers`; None for an unknown class."""
    width = _STORAGES.get(name)
    return numbers * width if width is not None and 0 <= numbers < _LARGEST else None


def is_storage(module: str, name: str) -> bool:
    """Return True if that name is a class of storages."""
    return (module == "torch" and name in _STORAGES) or (module, name) == ("torch.storage", "UntypedStorage")
