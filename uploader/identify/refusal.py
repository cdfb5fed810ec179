"""The files that are never placed, and why."""

from __future__ import annotations

from pathlib import PurePosixPath

from uploader.errors import NotAModel, Truncated
from uploader.identify.identity import Identity

_PICKLE_ENDINGS = frozenset({".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"})
_ENDINGS = {"safetensors": frozenset({".safetensors", ".sft"}), "gguf": frozenset({".gguf"})}
_AGAIN = "Get the file again: delete this copy and download it anew."
_NAMED = 8
_PICKLE = "Prefer the safetensors file of the same model. If you trust its maker, say --allow-pickle."


def refuse(identity: Identity, name: str, *, allow_pickle: bool) -> None:
    """Raise NotAModel or Truncated for a file that must not be placed under `name`.

    The bytes decide first, then the ending: programs choose their reader by it, and a reader of pickles runs code.
    """
    _refuse_by_bytes(identity, name)
    ending = PurePosixPath(name).suffix.lower()
    if not allow_pickle:
        _refuse_pickle(identity, name, ending)
    _refuse_wrong_ending(identity, name, ending)


def _refuse_pickle(identity: Identity, name: str, ending: str) -> None:
    scan = identity.pickle
    if scan is None:
        if _read_as_pickle(identity, ending):
            raise NotAModel(
                f"{name} would be read as a pickle, a format that can run code on the machine that loads it, and it "
                "cannot be followed as one",
                remedy=_PICKLE,
            )
        return
    if scan.findings:
        raise NotAModel(
            f"{name} is a pickle that could run code on the machine that loads it: {_listed(scan.findings)}",
            remedy=_PICKLE,
        )


def _listed(findings: tuple[str, ...]) -> str:
    """Return the findings for a sentence: limited in length, and without characters that control a terminal."""
    named = [ascii(finding)[1:-1] for finding in findings[:_NAMED]]
    more = len(findings) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _refuse_by_bytes(identity: Identity, name: str) -> None:
    match identity.container:
        case "empty":
            raise NotAModel(f"{name} is empty (0 bytes)", remedy=_AGAIN)
        case "html":
            raise NotAModel(
                f"{name} is a web page, not a model",
                remedy="The link leads to a page, perhaps one that asks for a login. "
                "Open it in a browser and copy the link of the download itself.",
            )
        case "json":
            raise NotAModel(
                f"{name} is a JSON text (an error answer or a settings file), not a model",
                remedy="Open the link in a browser to read what it says, and copy the link of the download itself.",
            )
        case "archive":
            raise NotAModel(f"{name} is an archive, not a model", remedy="Unpack it and push the model that is in it.")
    if identity.complete is False:
        raise Truncated(f"{name} is not whole: {identity.problems[0]}", remedy=_AGAIN)
    if identity.problems:
        raise NotAModel(f"{name} is no sound model: {identity.problems[0]}", remedy=_AGAIN)


def _read_as_pickle(identity: Identity, ending: str) -> bool:
    """Return True if a WebUI would unpickle it. The oldest pickles have no mark, only an ending."""
    return identity.container == "unknown" and ending in _PICKLE_ENDINGS


def _refuse_wrong_ending(identity: Identity, name: str, ending: str) -> None:
    right = _ENDINGS.get(identity.container)
    if right is None:
        for container, endings in _ENDINGS.items():
            if ending in endings:
                raise NotAModel(f"{name} is not the {container} file that its name says it is", remedy=_AGAIN)
    elif ending not in right and (ending in _PICKLE_ENDINGS or any(ending in other for other in _ENDINGS.values())):
        raise NotAModel(
            f"{name} is a {identity.container} file under another's name; no WebUI would load it as {ending}",
            remedy=f"Give it its own ending with --name, as in {PurePosixPath(name).stem}{identity.extension}",
        )
