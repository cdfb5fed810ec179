"""The identity of a file: container, kind, architecture, completeness and harmlessness, read once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uploader.artifact import Kind
from uploader.identify import gguf, safetensors
from uploader.identify.containers import Container, container_of, looks_torn_from_torch, zip_container
from uploader.identify.families import architecture_of
from uploader.identify.kinds import kind_of
from uploader.identify.pickle_tensors import shapes_of
from uploader.identify.pickles import Looked, PickleScan, look_at_stream, look_at_zip
from uploader.identify.ranges import Ranges, Read, TooMuch
from uploader.identify.tensor_names import Keys
from uploader.identify.zips import Doubtful, NoDirectory, read_directory

__all__ = ["Container", "Identity", "Read", "identify"]

_HEAD_BYTES = 512 << 10
"""Bytes of the first read. They hold most headers: one round trip is better than two."""

_BUDGET = 64 << 20
"""Most bytes that are read besides the head, when the container is not safetensors."""

_DETECTORS = ("ultralytics", "models.yolo")


@dataclass(frozen=True)
class Identity:
    """What a file is.

    - `container`: by the bytes alone. `zip` and `pickle` are torch's two pickle formats, `torchscript` is a program
      of torch's, `archive` any other archive.
    - `architecture`: the family of models that the file belongs to or fits; several have a slash between them.
    - `variant`: the variant of the family.
    - `complete`: true when the header covers exactly the file's bytes; None for another container or an unknown size.
    - `problems`: sentences on what is wrong. `warnings`: sentences that are no reason to refuse the file.
    - `extension`: the ending that programs know this container by; None for pickles, whose content decides.
    - `expected_size`: the bytes that the header accounts for, if it tells.
    - `pickle`: what the check of its pickles found; None for a file without pickles.
    - `blank_start`: the safetensors header does not begin with `{"`.
    """

    container: Container
    kind: Kind | None = None
    architecture: str | None = None
    complete: bool | None = None
    problems: tuple[str, ...] = ()
    extension: str | None = None
    expected_size: int | None = None
    variant: str | None = None
    warnings: tuple[str, ...] = ()
    pickle: PickleScan | None = None
    blank_start: bool = False

    @property
    def described(self) -> str | None:
        """The architecture with its variant as a text: `flux1-dev`."""
        return f"{self.architecture}-{self.variant}" if self.variant else self.architecture


def identify(read: Read, size: int | None, name: str) -> Identity:
    """Identify a file through `read(offset, length)`, which returns fewer bytes only at the end.

    `size` is in bytes, None if unknown. `name` is used when the bytes alone do not tell, and never overrules them.
    Returns an Identity for any bytes; raises only what `read` raises. Reads at most 64 MiB, and a few of a sound
    model.
    """
    head = read(0, _HEAD_BYTES)
    container = container_of(head)
    ranges = Ranges(head, read, size, _BUDGET)
    match container:
        case "safetensors":
            return _safetensors(head, read, size)
        case "gguf":
            return _gguf(ranges)
        case "zip":
            return _zip(head, ranges)
        case "pickle":
            return _stream(look_at_stream(ranges), size)
        case "unknown":
            return _unknown(head, ranges, name)
        case _:
            return Identity(container)


def _safetensors(head: bytes, read: Read, size: int | None) -> Identity:
    try:
        header = safetensors.read_header(head, read, size)
    except safetensors.Short as short:
        return Identity("safetensors", complete=False, problems=(str(short),), extension=".safetensors")
    except safetensors.Malformed as malformed:
        return Identity("safetensors", problems=(str(malformed),), extension=".safetensors")
    problem = safetensors.coverage_problem(header, size)
    keys = Keys(header.shapes)
    kind = kind_of(keys)
    found = architecture_of(keys, kind, header.metadata)
    return Identity(
        "safetensors",
        kind=kind,
        architecture=found.family if found else None,
        variant=found.variant if found else None,
        complete=False if problem else None if size is None else True,
        problems=(problem,) if problem else () if header.shapes else ("it holds no tensors",),
        extension=".safetensors",
        expected_size=header.expected_size,
        blank_start=head[8:10] != b'{"',
    )


def _gguf(ranges: Ranges) -> Identity:
    whole = Identity("gguf", extension=".gguf")
    try:
        header = gguf.read_header(ranges.read, ranges.size)
    except gguf.Cut:
        return replace(whole, complete=False, problems=("it is cut short: it ends before its header does",))
    except gguf.Malformed as malformed:
        return replace(whole, problems=(f"its header is wrong: {malformed}",))
    except gguf.OtherVersion:
        return replace(whole, warnings=("it has a version of GGUF that is not known here",))
    except TooMuch:
        return replace(whole, warnings=("its header is larger than can be looked through",))
    keys = Keys(header.shapes)
    kind, family = gguf.kind_and_family(header)
    kind = kind or kind_of(keys)
    found = architecture_of(keys, kind, {})
    same = found is not None and family in (None, found.family)
    whole = replace(
        whole,
        kind=kind,
        architecture=family or (found.family if found else None),
        variant=found.variant if found and same else None,
        expected_size=header.expected_size,
    )
    size, expected = ranges.size, header.expected_size
    if size is None or expected is None:
        return whole
    if size < expected:
        told = f"it is cut short: its header describes {expected} bytes, it has {size} ({expected - size} missing)"
        return replace(whole, complete=False, problems=(told,))
    return replace(whole, complete=True if size - expected < header.alignment else None)


def _zip(head: bytes, ranges: Ranges) -> Identity:
    torn = looks_torn_from_torch(head)
    if ranges.size is None:
        # The directory cannot be read yet. It is checked when the whole file is there.
        return Identity("zip", pickle=PickleScan(unseen=True)) if torn else Identity("archive")
    try:
        members = read_directory(ranges)
    except NoDirectory:
        problem = "it is cut short: a zip ends with a directory, and this one has none there"
        return Identity("zip", complete=False, problems=(problem,)) if torn else Identity("archive")
    except (Doubtful, TooMuch) as error:
        finding = str(error) or "more than can be looked through"
        return Identity("zip", pickle=PickleScan((finding,))) if torn else Identity("archive")
    container = zip_container([member.name for member in members])
    if container == "archive":
        return Identity(container)
    found = _stream(look_at_zip(ranges, members), ranges.size)
    scan = found.pickle or PickleScan()
    if container == "torchscript":
        scan = replace(scan, findings=("a program in TorchScript", *scan.findings))
    return replace(found, container=container, pickle=scan)


def _stream(looked: Looked, size: int | None) -> Identity:
    keys = Keys(shapes_of(looked.value))
    kind = kind_of(keys)
    if any(module.startswith(_DETECTORS) for module, _ in looked.scan.globals):
        kind = Kind.DETECTOR
    found = architecture_of(keys, kind, {})
    expected = looked.expected_size
    cut = size is not None and expected is not None and size < expected
    problem = f"it is cut short: its pickles describe {expected} bytes, it has {size}"
    bare = () if looked.torch else ("it is a pickle that torch did not write: a WebUI may not read it",)
    return Identity(
        "pickle",
        kind=kind,
        architecture=found.family if found else None,
        variant=found.variant if found else None,
        complete=False if cut else True if expected is not None and size == expected else None,
        problems=(problem,) if cut else (),
        expected_size=expected,
        warnings=bare,
        pickle=looked.scan,
    )


def _unknown(head: bytes, ranges: Ranges, name: str) -> Identity:
    """Return True for a pickle without a mark, as the oldest are: it can be followed to its end."""
    looked = look_at_stream(ranges)
    if looked.pickles or looked.scan.globals:
        return _stream(looked, ranges.size)
    return Identity("unknown", problems=_problems_of_unknown(head, ranges.size, name))


def _problems_of_unknown(head: bytes, size: int | None, name: str) -> tuple[str, ...]:
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return ("it is a Git LFS pointer, a note of where the file is, not the file itself",)
    if name.lower().endswith((".safetensors", ".sft")) and size is not None and size < safetensors.SMALLEST:
        return (f"with {size} bytes it is too short for a safetensors file",)
    return ()
