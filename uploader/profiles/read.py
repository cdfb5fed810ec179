"""From a profile's TOML table to a Provider or a WebUI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from uploader.artifact import Kind
from uploader.placement import folder_fault, root_fault
from uploader.profile import Api, Facts, Loads, Provider, Quirks, Refusal, Sidecars, Sureness, WebUI
from uploader.profiles.toml_table import Table, did_you_mean

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_EXTENSION = re.compile(r"(\.[a-z0-9]+)+")
_PROVIDER_FIELDS = ("name", "sftp", "webui", "root", "host", "port", "user", "auth", "quirks", "refuses", "notes")
_LOADS_FIELDS = ("families", "strict_pickles", "strict_metadata", "needs")
_WEBUI_FIELDS = ("name", "extensions", "api", "sidecars", *(f"loads.{field}" for field in _LOADS_FIELDS))
_FAMILY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class SignIn(StrEnum):
    """The ways to sign in that SSH has and a profile may name."""

    KEY = "key"
    PASSWORD = "password"  # noqa: S105 - the method's name
    KEYBOARD_INTERACTIVE = "keyboard-interactive"


def read_provider(table: Table) -> Provider:
    """Return a provider's profile. Only valid if the table has collected no fault."""
    sftp = table.optional_flag("sftp", required=True)
    provider = Provider(
        id=_id(table),
        name=table.text("name"),
        sftp=sftp is True,
        webui=table.optional_text("webui"),
        root=_root(table),
        user=table.optional_text("user"),
        port=table.optional_number("port", 1, 65535),
        host_hint=table.optional_text("host_hint"),
        auth=_auth(table),
        ssh_defaults=table.optional_flag("ssh_defaults") is True,
        folders=_folders(table.table("folders")),
        quirks=_quirks(table.table("quirks")),
        refuses=tuple(_refusal(entry) for entry in table.tables("refuses")),
        reason=table.optional_text("reason"),
        instead=table.optional_text("instead"),
        notes=table.texts("notes"),
        facts=_facts(table.table("facts"), _PROVIDER_FIELDS),
    )
    for key in ("reason", "instead"):
        if sftp is False and not table.has(key):
            table.fault(key, "is missing; a provider without SFTP says why, and what to do instead")
        if sftp and table.has(key):
            table.fault(key, "is only for a provider without SFTP", "Put it into notes.")
    table.close()
    return provider


def read_webui(table: Table) -> WebUI:
    """Return a WebUI's profile. Only valid if the table has collected no fault."""
    webui = WebUI(
        id=_id(table),
        name=table.text("name"),
        folders=_folders(table.table("folders")),
        extensions=_extensions(table),
        missing=_kinds(table.table("missing")),
        api=table.choice("api", Api) if table.has("api") else None,
        sidecars=_sidecars(table.table("sidecars")),
        loads=_loads(table.table("loads")),
        facts=_facts(table.table("facts"), _WEBUI_FIELDS),
    )
    for kind in webui.missing:
        if kind in webui.folders:
            table.fault(f"missing.{kind}", "has a folder above", "Keep one of the two.")
    table.close()
    return webui


def _id(table: Table) -> str:
    value = table.text("id")
    if value and not _ID.fullmatch(value):
        table.fault("id", f"{value!r} is not made of small letters, digits and single dashes")
    elif value and value != table.file.stem:
        table.fault("id", f"{value!r} is not the file's name", f"Name the file {value}.toml, or change the id.")
    return value


def _root(table: Table) -> str | None:
    root = table.optional_text("root")
    if root and (fault := root_fault(root)):
        table.fault("root", f"{root!r}: {fault}")
    return root


def _auth(table: Table) -> tuple[str, ...]:
    values = table.texts("auth")
    for index, value in enumerate(values):
        table.member(f"auth[{index}]", value, SignIn)
    return values


def _extensions(table: Table) -> frozenset[str]:
    values = table.texts("extensions", required=True)
    for index, value in enumerate(values):
        if not _EXTENSION.fullmatch(value):
            table.fault(f"extensions[{index}]", f"{value!r} is not like .safetensors (a dot, small letters, digits)")
    return frozenset(values)


def _loads(table: Table) -> Loads:
    families = table.texts("families")
    for index, family in enumerate(families):
        if not _FAMILY.fullmatch(family):
            table.fault(f"families[{index}]", f"{family!r} is not made of small letters, digits and single dashes")
    needs = table.table("needs")
    for ending in needs.names():
        if not _EXTENSION.fullmatch(ending):
            needs.fault(ending, "is not like .gguf (a dot, small letters, digits)")
    loads = Loads(
        families=frozenset(families) if table.has("families") else None,
        strict_pickles=table.optional_flag("strict_pickles"),
        strict_metadata=table.optional_flag("strict_metadata"),
        needs={ending: needs.text(ending) for ending in needs.names()},
    )
    table.close()
    return loads


def _folders(table: Table) -> Mapping[Kind, str]:
    folders = _kinds(table)
    for kind, folder in folders.items():
        if folder and (fault := folder_fault(folder)):
            table.fault(kind, f"{folder!r}: {fault}")
    return folders


def _kinds(table: Table) -> dict[Kind, str]:
    """Return a table from kinds to texts. The remedy for an unknown key names all kinds, not only those in use."""
    found = {}
    for key in table.names():
        kind = table.member(key, key, Kind)
        if kind is not None:
            found[kind] = table.text(key)
    return found


def _quirks(table: Table) -> Quirks:
    quirks = Quirks(
        shell=table.optional_flag("shell"),
        max_request_bytes=table.optional_number("max_request_bytes", 1024, 1 << 30),
        max_connections=table.optional_number("max_connections", 1, 1000),
    )
    table.close()
    return quirks


def _sidecars(table: Table) -> Sidecars:
    names = {key: table.optional_text(key) for key in ("preview", "metadata", "source")}
    for key, ending in names.items():
        if ending is not None and not _EXTENSION.fullmatch(ending):
            table.fault(key, f"{ending!r} is not like .json (a dot, small letters, digits)")
    table.close()
    return Sidecars(**names)


def _refusal(table: Table) -> Refusal:
    refusal = Refusal(host=table.text("host"), reason=table.text("reason"))
    table.close()
    return refusal


def _facts(table: Table, fields: tuple[str, ...]) -> Facts:
    facts = Facts(
        sources=table.texts("sources", required=True),
        checked=table.date("checked"),
        sureness=table.choice("sureness", Sureness) or Sureness.REPORTED,
        fields=_grades(table.table("fields"), fields),
    )
    table.close()
    return facts


def _grades(table: Table, fields: tuple[str, ...]) -> Mapping[str, Sureness]:
    """Return the grades of single fields: keys of the profile, `folders.<kind>` and `missing.<kind>`."""
    known = (*fields, "folders", "missing", *(f"{part}.{kind}" for part in ("folders", "missing") for kind in Kind))
    found = {}
    for key in table.names():
        if key not in known:
            table.fault(key, "is not a field that has a grade", did_you_mean(key, known))
        elif (grade := table.choice(key, Sureness)) is not None:
            found[key] = grade
    return found
