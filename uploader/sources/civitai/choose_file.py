"""Which file of a version is meant: the one that was named, else the best form of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from uploader.errors import SourceMissing, UsageError
from uploader.reference import CivitaiReference
from uploader.sources.civitai.values import File, Version
from uploader.sources.interface import PRECISIONS, Choice

_FORMATS = {
    **dict.fromkeys(("safetensors", "safetensor"), "safetensor"),
    **dict.fromkeys(("pickle", "pickletensor", "ckpt", "pt", "bin"), "pickletensor"),
    "gguf": "gguf",
}
_FACETS: dict[str, Callable[[File], str]] = {
    "type": lambda file: file.type.lower(),
    "format": lambda file: file.format,
    "size": lambda file: file.variant,
    "fp": lambda file: file.precision,
    "quantType": lambda file: file.quant,
}


def choose(version: Version, reference: CivitaiReference, choice: Choice) -> File:
    """Return the file that is meant. A file that can run code is chosen only when asked for, or when there is no other.

    Raises SourceMissing where no file is the one asked for, UsageError where several are. Both list the files.
    """
    files = version.files
    if not files:
        raise SourceMissing(f"{version.title} has no files on Civitai", remedy="Open its page to see why.")
    if reference.file is not None:
        named = [file for file in files if file.id == reference.file]
        return _only(version, named, f"no file with the id {reference.file}")
    if choice.file is not None:
        wanted = choice.file.lower()
        named = [file for file in files if file.name.lower() == wanted]
        if not named:
            raise _none(version, f"no file named {choice.file}")
        return _one_of(version, named, choice)
    asked = [file for file in files if all(_meets(file, name, value) for name, value in reference.filters)]
    if reference.filters:
        if not asked:
            raise _none(version, "no file of the form that the link asks for")
        return _one_of(version, asked, choice)
    return _one_of(version, _of_interest(asked), choice)


def preferred(files: Sequence[File], words: Sequence[str]) -> list[File]:
    """Return the files that meet the words best. Each word in turn keeps the files that meet it, if any does."""
    left = list(files)
    for word in words:
        left = [file for file in left if _prefers(file, word)] or left
    return left


def listed(files: Sequence[File]) -> str:
    """Return the files as lines, with what tells them apart and how to name each."""
    return "\n".join(f"  {file.name} ({', '.join(filter(None, _facts(file)))}) +{file.id}" for file in files)


def _of_interest(files: Sequence[File]) -> list[File]:
    """Return the model itself, if there is one; else the files that come with a model (a VAE, a text encoder)."""
    models = [file for file in files if file.is_model] or list(files)
    return [file for file in models if file.is_main] or models


def _one_of(version: Version, files: Sequence[File], choice: Choice) -> File:
    """Return the best file, if all are known to be forms of one model. Raises UsageError for different models."""
    fit = _without_pickles(files, choice.prefer)
    different = {file.digest or file.id: file for file in fit}.values()
    if len({file.group for file in fit}) > 1 or not all(a.is_form_beside(b) for a, b in combinations(different, 2)):
        raise _several(version, fit)
    best = preferred(fit, choice.prefer)
    if len({file.digest or file.id for file in best}) > 1:
        raise _several(version, best)
    return best[0]


def _without_pickles(files: Sequence[File], words: Sequence[str]) -> list[File]:
    if any(_FORMATS.get(word) == "pickletensor" for word in words):
        return list(files)
    return [file for file in files if not file.is_pickle] or list(files)


def _only(version: Version, files: list[File], fault: str) -> File:
    if not files:
        raise _none(version, fault)
    return files[0]


def _meets(file: File, name: str, value: str) -> bool:
    said, wanted = _FACETS[name](file), value.lower()
    if name == "format":
        wanted = _FORMATS.get(wanted, wanted)
    return said == wanted


def _prefers(file: File, word: str) -> bool:
    if word in ("pruned", "full"):
        return file.variant == word
    if word in PRECISIONS:
        return file.precision == word
    return file.format == _FORMATS.get(word) or (_FORMATS.get(word) == "pickletensor" and file.is_pickle)


def _facts(file: File) -> list[str]:
    size = "size not told" if file.size is None else f"{file.size / 1e6:,.1f} MB"
    return [file.type, size, file.format, file.variant, file.precision, file.quant]


def _none(version: Version, fault: str) -> SourceMissing:
    return SourceMissing(
        f"{version.title} has {fault}; its files are:\n{listed(version.files)}",
        remedy=f"Name one with --file NAME, or push civitai:{version.model}@{version.id}+ID.",
    )


def _several(version: Version, files: Sequence[File]) -> UsageError:
    return UsageError(
        f"{version.title} has several files that could be meant:\n{listed(files)}",
        remedy=f"Name one with --file NAME, or push civitai:{version.model}@{version.id}+ID.",
    )
