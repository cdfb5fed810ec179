"""What a WebUI will do with a file: sentences for the plan, which are no reason to refuse."""

from __future__ import annotations

from collections.abc import Iterator

from uploader.artifact import Kind
from uploader.identify.identity import Identity
from uploader.profile import WebUI

_WITH_FAMILY = frozenset(
    {
        Kind.CHECKPOINT,
        Kind.DIFFUSION_MODEL,
        Kind.LORA,
        Kind.VAE,
        Kind.EMBEDDING,
        Kind.HYPERNETWORK,
        Kind.CONTROLNET,
        Kind.IP_ADAPTER,
    }
)
_NAMED = 4


def choose_kind(identity: Identity, *, told: Kind | None, wanted: Kind | None) -> Kind | None:
    """Return the kind that a file is placed as: the user's, its header's or its source's; None when none tells.

    Services also call a lone transformer a checkpoint. A GGUF file is never a complete checkpoint."""
    if wanted or identity.kind:
        return wanted or identity.kind
    if identity.container == "gguf" and told is Kind.CHECKPOINT:
        return Kind.DIFFUSION_MODEL
    return told


def warnings(
    identity: Identity, name: str, kind: Kind, webui: WebUI, *, told: Kind | None = None, wanted: Kind | None = None
) -> tuple[str, ...]:
    """Return sentences on a file that is placed as `kind` under `name`.

    `told` is the kind that its source gives, `wanted` the kind that the user gives; None when not given."""
    return (
        *identity.warnings,
        *_disagreement(identity, told, wanted),
        *_unknown_architecture(identity, kind),
        *_family(identity, kind, webui),
        *_loading(identity, name, kind, webui),
    )


def remarks(identity: Identity) -> tuple[str, ...]:
    """Return sentences on a file that hold in any folder."""
    found = list(identity.warnings)
    if identity.blank_start:
        found.append("its header begins with a blank: AUTOMATIC1111 and Forge would not read its metadata")
    if identity.pickle is not None and identity.pickle.strict:
        found.append(f"AUTOMATIC1111's own loader refuses it, for it holds {_some(identity.pickle.strict)}")
    return tuple(found)


def _some(names: tuple[str, ...]) -> str:
    """Return a few of the names, without characters that control a terminal."""
    more = len(names) - _NAMED
    named = ", ".join(ascii(name)[1:-1] for name in names[:_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def _disagreement(identity: Identity, told: Kind | None, wanted: Kind | None) -> Iterator[str]:
    if identity.kind is None:
        return
    if wanted is not None:
        if wanted != identity.kind:
            yield f"its own header says {identity.kind}; it goes where you say, as {wanted}"
    elif told is not None and told != identity.kind:
        yield f"its source says {told}, its own header says {identity.kind}: the header decides"


def _unknown_architecture(identity: Identity, kind: Kind) -> Iterator[str]:
    if kind is Kind.DIFFUSION_MODEL and identity.kind is kind and identity.architecture is None:
        yield "its architecture is not known here; the WebUI may know it"


def _family(identity: Identity, kind: Kind, webui: WebUI) -> Iterator[str]:
    families = webui.loads.families
    if families is None or identity.architecture is None or kind not in _WITH_FAMILY:
        return
    if not families & set(identity.architecture.split("/")):
        known = ", ".join(sorted(families))
        yield f"it is made for {identity.architecture}, and {webui.name} runs {known}"


def _loading(identity: Identity, name: str, kind: Kind, webui: WebUI) -> Iterator[str]:
    loads = webui.loads
    for ending, need in loads.needs.items():
        if name.lower().endswith(ending):
            yield f"{webui.name} lists {ending} files only with {need}"
    if identity.blank_start and loads.strict_metadata:
        yield f"its header begins with a blank: {webui.name} would not read its metadata"
    # An extension loads detectors by itself.
    if identity.pickle is None or not loads.strict_pickles or kind is Kind.DETECTOR:
        return
    if refused := (*identity.pickle.findings, *identity.pickle.strict):
        yield (
            f"{webui.name}'s own loader refuses it, for it holds {_some(refused)} "
            "(--disable-safe-unpickle turns that off there)"
        )
