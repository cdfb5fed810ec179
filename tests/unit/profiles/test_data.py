"""The built-in profiles: what each must say, and the values that must not change unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from uploader import profiles as profiles
from uploader.artifact import MODEL_EXTENSIONS, Kind
from uploader.errors import KindUnplaceable
from uploader.identify.architectures import _TRANSFORMERS, _WIDTHS
from uploader.placement import folder_of
from uploader.profile import Facts, Sureness

CATALOG = profiles.load()
PROVIDERS = {
    "conoha-ai-canvas": True,
    "picsoroban": True,
    "runpod": True,
    "vast-ai": True,
    "autodl": True,
    "lambda": True,
    "paperspace": True,
    "jarvislabs": True,
    "generic": True,
    "thinkdiffusion": False,
    "rundiffusion": False,
    "saladcloud": False,
    "colab": False,
}
WEBUIS = {"a1111", "forge", "forge-neo", "reforge", "sdnext", "comfyui", "fooocus", "swarmui", "invokeai"}


def _facts() -> Iterator[tuple[str, Facts]]:
    for provider in CATALOG.providers.values():
        yield provider.id, provider.facts
    for webui in CATALOG.webuis.values():
        yield webui.id, webui.facts


def test_providers_are_the_promised_ones() -> None:
    assert {provider.id: provider.sftp for provider in CATALOG.providers.values()} == PROVIDERS


def test_webuis_are_the_promised_ones() -> None:
    assert set(CATALOG.webuis) == WEBUIS


@pytest.mark.parametrize(("id_", "facts"), list(_facts()), ids=[id_ for id_, _ in _facts()])
def test_profile_names_the_sources_of_its_facts(id_: str, facts: Facts) -> None:
    assert facts.sources
    assert all(len(source) > 10 for source in facts.sources)
    assert date(2026, 1, 1) <= date.fromisoformat(facts.checked) <= date(2027, 12, 31)
    assert facts.sureness in Sureness


@pytest.mark.parametrize("id_", sorted(PROVIDERS))
def test_provider_names_a_known_webui(id_: str) -> None:
    provider = CATALOG.provider(id_)
    assert provider.webui is None or provider.webui in CATALOG.webuis


@pytest.mark.parametrize("id_", sorted(id_ for id_, sftp in PROVIDERS.items() if not sftp))
def test_provider_without_sftp_names_an_alternative(id_: str) -> None:
    provider = CATALOG.provider(id_)
    assert provider.reason
    assert provider.instead


@pytest.mark.parametrize("id_", sorted(id_ for id_, sftp in PROVIDERS.items() if sftp))
def test_provider_with_sftp_says_where_its_host_is_found(id_: str) -> None:
    assert CATALOG.provider(id_).host_hint


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("id_", sorted(WEBUIS))
def test_webui_has_a_folder_or_a_reason_for_each_kind(id_: str, kind: Kind) -> None:
    webui = CATALOG.webui(id_)
    assert (kind in webui.folders) != (kind in webui.missing)


@pytest.mark.parametrize("id_", sorted(WEBUIS))
def test_webui_extensions_are_those_of_models(id_: str) -> None:
    extensions = CATALOG.webui(id_).extensions
    assert ".safetensors" in extensions
    assert extensions <= MODEL_EXTENSIONS


def test_conoha_has_the_layout_of_a1111() -> None:
    provider = CATALOG.provider("conoha-ai-canvas")
    assert (provider.webui, provider.root) == ("a1111", "home/data")
    assert (provider.user, provider.port, provider.auth) == (None, None, ())
    folders = CATALOG.folders(provider, CATALOG.webui("a1111"))
    assert folders[Kind.CHECKPOINT] == "models/Stable-diffusion"
    assert folders[Kind.EMBEDDING] == "embeddings"
    assert provider.facts.fields["sftp"] == provider.facts.fields["root"] == Sureness.REPORTED


def test_picsoroban_notes_that_sftp_is_unconfirmed() -> None:
    provider = CATALOG.provider("picsoroban")
    assert provider.root == "storage/userdata"
    assert provider.facts.sureness is Sureness.REPORTED
    assert "not confirmed" in " ".join(provider.notes)


@pytest.mark.parametrize("host", ["ssh.runpod.io", "SSH.RunPod.io.", "abc123-644.ssh.runpod.io"])
def test_runpod_proxy_is_refused_with_the_address_to_use(host: str) -> None:
    refused = profiles.refusal(CATALOG.provider("runpod"), host)
    assert refused is not None
    assert "exposed TCP" in refused.reason


@pytest.mark.parametrize("host", ["203.0.113.7", "runpod.io", "notssh.runpod.io.example.org"])
def test_runpod_other_hosts_are_not_refused(host: str) -> None:
    assert profiles.refusal(CATALOG.provider("runpod"), host) is None


def test_autodl_folders_apply_to_its_own_webui_only() -> None:
    provider = CATALOG.provider("autodl")
    a1111 = CATALOG.folders(provider, CATALOG.webui("a1111"))
    assert (a1111[Kind.LORA], a1111[Kind.CONTROLNET]) == ("models/lora", "models/ControlNet")
    assert CATALOG.folders(provider, CATALOG.webui("comfyui"))[Kind.LORA] == "models/loras"


@pytest.mark.parametrize(
    ("webui", "kind", "folder"),
    [
        ("a1111", Kind.LORA, "models/Lora"),
        ("a1111", Kind.UPSCALER, "models/ESRGAN"),
        ("reforge", Kind.EMBEDDING, "embeddings"),
        ("forge", Kind.EMBEDDING, "embeddings"),
        ("forge", Kind.DIFFUSION_MODEL, "models/Stable-diffusion"),
        ("forge-neo", Kind.EMBEDDING, "models/embeddings"),
        ("sdnext", Kind.TEXT_ENCODER, "models/Text-encoder"),
        ("comfyui", Kind.DIFFUSION_MODEL, "models/diffusion_models"),
        ("fooocus", Kind.CHECKPOINT, "models/checkpoints"),
        ("swarmui", Kind.CHECKPOINT, "Models/Stable-Diffusion"),
    ],
)
def test_webui_folders_that_differ(webui: str, kind: Kind, folder: str) -> None:
    assert folder_of(kind, CATALOG.webui(webui), {}) == folder


@pytest.mark.parametrize(
    ("webui", "kind", "reason"),
    [
        ("a1111", Kind.DIFFUSION_MODEL, "whole checkpoints"),
        ("fooocus", Kind.MOTION_MODULE, "AnimateDiff"),
        ("invokeai", Kind.DETECTOR, "does not list"),
        ("comfyui", Kind.OTHER, "not known"),
    ],
)
def test_webui_kind_without_a_folder_has_a_reason(webui: str, kind: Kind, reason: str) -> None:
    with pytest.raises(KindUnplaceable, match=reason) as caught:
        folder_of(kind, CATALOG.webui(webui), {})
    assert caught.value.remedy


def test_webui_families_are_names_that_headers_tell() -> None:
    known = {family for family, _, _ in _TRANSFORMERS} | set(_WIDTHS.values())
    for webui in CATALOG.webuis.values():
        assert (webui.loads.families or frozenset()) <= known


@pytest.mark.parametrize("webui", ["a1111", "reforge", "fooocus", "comfyui", "sdnext", "swarmui"])
def test_webui_keeps_diffusion_models_apart(webui: str) -> None:
    folders = CATALOG.webui(webui).folders
    assert folders.get(Kind.DIFFUSION_MODEL) != folders[Kind.CHECKPOINT]
