"""The file `targets.toml`: read strictly, changed without losing what a person wrote into it."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from uploader.artifact import Kind
from uploader.errors import ConfigurationError, Several, UsageError
from uploader.profile import Target
from uploader.profiles.toml_table import Table, nearest
from uploader.state.atomic import replace_text
from uploader.state.folder import unwritable
from uploader.state.locks import exclusive
from uploader.state.targets.values import check_name, check_values, name_fault, value_faults

_FOLDERS = "folders"
_TYPES = {key: hint for key, hint in typing.get_type_hints(Target).items() if key not in ("name", _FOLDERS)}
_REQUIRED = tuple(
    field.name
    for field in fields(Target)
    if field.default is MISSING and field.default_factory is MISSING and field.name != "name"
)


class _Saved(typing.NamedTuple):
    targets: dict[str, Target]
    groups: dict[str, tuple[str, ...]]


class Targets:
    """The saved targets, in the file's order.

    Each target is a table `[targets.NAME]` with the fields of `Target`; `[groups]` has a list of names for each group.
    A file that cannot be read, or has an unknown key, is refused with every fault at once: ConfigurationError, or
    Several of them. It is then never written. `seconds` is how long to wait for another process that is writing.
    """

    def __init__(self, folder: Path, *, seconds: float = 10.0) -> None:
        self.path = folder / "targets.toml"
        self._lock_file = folder / "targets.lock"
        self._seconds = seconds

    def all(self) -> list[Target]:
        return list(self._saved().targets.values())

    def get(self, name: str) -> Target:
        """Return the target of that name. Raises UsageError when there is none."""
        return _found(self._saved().targets, name)

    def group(self, name: str) -> list[Target]:
        """Return the targets of a group, in its order.

        Raises UsageError when there is no such group, or when it names a target that is not saved."""
        saved, groups = self._saved()
        if name not in groups:
            known = f"; there are: {', '.join(f'@{one}' for one in groups)}" if groups else ""
            raise UsageError(
                f"there is no group @{name}{known}", remedy=f'Write it into {self.path}: [groups] {name} = ["a", "b"].'
            )
        if not groups[name]:
            raise UsageError(f"the group @{name} is empty", remedy=f"Put names of targets into it, in {self.path}.")
        return [_found(saved, member) for member in groups[name]]

    def save(self, target: Target) -> None:
        """Add a target, or update the one of that name. Raises UsageError for values that reach no server."""
        check_name(target.name)
        check_values(target)

        def change(text: str, saved: dict[str, Target]) -> str:
            saved[target.name] = target
            return _with(text, target)

        self._change(change)

    def remove(self, name: str) -> None:
        """Remove the target of that name. Raises UsageError when there is none."""

        def change(text: str, saved: dict[str, Target]) -> str:
            del saved[_found(saved, name).name]
            return _without(text, name)

        self._change(change)

    def _saved(self) -> _Saved:
        return _parsed(self.path, self._text())

    def _change(self, change: Callable[[str, dict[str, Target]], str]) -> None:
        """Replace the file's text by what `change` makes of it, unless that says something else than was wanted."""
        with self._alone():
            text = self._text()
            wanted = _parsed(self.path, text)
            try:
                changed = change(text, wanted.targets)
                faithful = _parsed(self.path, changed) == wanted
            except (TOMLKitError, ValueError, ConfigurationError, Several):
                faithful = False
            if not faithful:
                raise ConfigurationError(
                    f"{self.path} is laid out in a way that cannot be changed without damage; nothing was written",
                    remedy="Write each target as a table of its own, [targets.NAME], and try again.",
                )
            replace_text(self.path, changed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the file between our reading and our writing."""
        try:
            with exclusive(self._lock_file, str(self.path), self._seconds):
                yield
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _text(self) -> str:
        try:
            return self.path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be read: {error.strerror}", remedy="Make it a file that you may read."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{self.path} is not a text file in UTF-8", remedy="Save it as UTF-8, or move it away."
            ) from error


def _found(saved: Mapping[str, Target], name: str) -> Target:
    if name in saved:
        return saved[name]
    if not saved:
        raise UsageError(
            f"there is no target {name!r}: none is saved yet",
            remedy="Save one with `uploader login PROVIDER`; `uploader providers` lists the providers.",
        )
    remedy = " ".join(filter(None, (nearest(name, saved), "`uploader login PROVIDER` saves another.")))
    raise UsageError(f"there is no target {name!r}; saved are: {', '.join(saved)}", remedy=remedy)


# reading ----------------------------------------------------------------------------------------------


def _parsed(path: Path, text: str) -> _Saved:
    """Return the targets and groups of the file. Raises ConfigurationError, or Several of them."""
    try:
        document = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", remedy="Mend that line, or move it away.") from error
    faults: list[ConfigurationError] = []
    file = Table(document, path, faults)
    groups = file.table("groups")
    for name in groups.names():
        _check_name(groups, name, "group")
    tables = file.table("targets")
    saved = {name: _target(name, tables, faults) for name in tables.names()}
    members = {name: groups.texts(name) for name in groups.names()}  # used later: a target may be forgotten any time
    file.close()
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise Several(faults)
    return _Saved({name: target for name, target in saved.items() if target is not None}, members)


def _target(name: str, tables: Table, faults: list[ConfigurationError]) -> Target | None:
    """Return the target of one table, None when `faults` has grown."""
    before = len(faults)
    _check_name(tables, name, "target")
    table = tables.table(name)
    values: dict[str, typing.Any] = {
        key: table.optional_number(key, 1, 65535)
        if isinstance(0, hint)
        else table.optional_text(key, required=key in _REQUIRED)
        for key, hint in _TYPES.items()
    }
    folders = table.table(_FOLDERS)
    texts = {kind: folders.optional_text(kind) for kind in Kind}
    for part in (folders, table):
        part.close()
    if len(faults) > before:
        return None
    target = Target(name, **values, folders={kind: folder for kind, folder in texts.items() if folder is not None})
    for key, fault in value_faults(target):
        table.fault(key, fault)
    return target


def _check_name(table: Table, name: str, what: str) -> None:
    if fault := name_fault(name):
        table.fault(name, f"{name!r} cannot be a {what}'s name: {fault}")


# changing ---------------------------------------------------------------------------------------------


def _with(text: str, target: Target) -> str:
    """Add or update one table. Everything else stays, and so do the comments within the table."""
    document = tomlkit.parse(text)
    if "targets" not in document:
        document["targets"] = tomlkit.table(is_super_table=True)
    tables: typing.Any = document["targets"]
    if target.name not in tables:
        tables[target.name] = tomlkit.inline_table() if isinstance(tables, InlineTable) else tomlkit.table()
    table = tables[target.name]
    for key in _TYPES:
        value = getattr(target, key)
        if value is None:
            table.pop(key, None)
        elif table.get(key) != value:
            table[key] = value
    folders = {kind.value: folder for kind, folder in target.folders.items()}
    if not folders:
        table.pop(_FOLDERS, None)
    elif table.get(_FOLDERS) != folders:
        table.pop(_FOLDERS, None)
        table[_FOLDERS] = tomlkit.inline_table()
        table[_FOLDERS].update(folders)
    return tomlkit.dumps(document)


def _without(text: str, name: str) -> str:
    """Take one table out. The comments between it and the next table belong to the next one, and stay.

    Work on lines: tomlkit counts those comments to the table before them. The caller compares the result, in case a
    value of several lines looks like a table."""
    lines = text.split("\n")
    start = next((index for index, line in enumerate(lines) if _heads(line, name)), None)
    if start is None:
        document = tomlkit.parse(text)
        tables: typing.Any = document["targets"]
        del tables[name]
        return tomlkit.dumps(document)
    headings = (index for index in range(start + 1, len(lines)) if _heads_another(lines[index], name))
    end = next(headings, len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    while start and not lines[start - 1].strip():
        start -= 1
    rest = "\n".join(lines[:start] + lines[end:])
    return rest if start else rest.lstrip("\r\n")


def _heads_another(line: str, name: str) -> bool:
    if not line.lstrip().startswith("["):
        return False
    try:
        return tomlkit.parse(line).unwrap() != {"targets": {name: {_FOLDERS: {}}}}
    except TOMLKitError:
        return True


def _heads(line: str, name: str) -> bool:
    try:
        return line.lstrip().startswith("[") and tomlkit.parse(line).unwrap() == {"targets": {name: {}}}
    except TOMLKitError:
        return False
