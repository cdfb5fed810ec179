"""The file `targets.toml`: read strictly, changed without losing what a person wrote into it."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path

import tomlkit
from filelock import FileLock, Timeout
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from uploader.artifact import Kind
from uploader.errors import Busy, ConfigurationError, Several, UsageError
from uploader.profile import Target
from uploader.state.atomic import replace_text
from uploader.state.targets.values import check_name, check_values, name_fault, value_faults

_FOLDERS = "folders"
_TYPES = {key: hint for key, hint in typing.get_type_hints(Target).items() if key not in ("name", _FOLDERS)}
_KEYS = (*_TYPES, _FOLDERS)
_REQUIRED = tuple(
    field.name
    for field in fields(Target)
    if field.default is MISSING and field.default_factory is MISSING and field.name != "name"
)


class Targets:
    """The saved targets, in the file's order.

    Each target is a table `[targets.NAME]` with the fields of `Target`; `[groups]` has a list of names for each group.
    A file that cannot be read, or says
    something unknown, is refused with every fault at once (ConfigurationError, or Several of them) and never
    written. `patience` is how long to wait for another process that is writing, in seconds.
    """

    def __init__(self, folder: Path, *, patience: float = 10.0) -> None:
        self.path = folder / "targets.toml"
        self._folder = folder
        self._patience = patience

    def all(self) -> list[Target]:
        return list(_parsed(self.path, self._text()).values())

    def get(self, name: str) -> Target:
        """Raises UsageError when none has that name."""
        return _found(_parsed(self.path, self._text()), name)

    def group(self, name: str) -> list[Target]:
        """Returns the targets of a group, in its order. Raises UsageError when there is no such group or it names a
        target that is not saved."""
        text = self._text()
        saved = _parsed(self.path, text)
        groups = _groups(text)
        if name not in groups:
            known = f"; there are: {', '.join(f'@{one}' for one in groups)}" if groups else ""
            raise UsageError(
                f"there is no group @{name}{known}", remedy=f'Write it into {self.path}: [groups] {name} = ["a", "b"].'
            )
        if not groups[name]:
            raise UsageError(f"the group @{name} is empty", remedy=f"Put names of targets into it, in {self.path}.")
        return [_found(saved, member) for member in groups[name]]

    def save(self, target: Target) -> None:
        """Adds a target, or updates the one of that name. Raises UsageError for values no server is reached by."""
        check_name(target.name)
        check_values(target)

        def change(text: str, saved: dict[str, Target]) -> str:
            saved[target.name] = target
            return _with(text, target)

        self._change(change)

    def remove(self, name: str) -> None:
        """Raises UsageError when none has that name."""

        def change(text: str, saved: dict[str, Target]) -> str:
            del saved[_found(saved, name).name]
            return _without(text, name)

        self._change(change)

    def _change(self, change: Callable[[str, dict[str, Target]], str]) -> None:
        with self._alone():
            text = self._text()
            wanted = _parsed(self.path, text)
            try:
                changed = change(text, wanted)
                faithful = _parsed(self.path, changed) == wanted
            except (TOMLKitError, ValueError, ConfigurationError, Several):
                faithful = False
            if not faithful:
                raise ConfigurationError(
                    f"{self.path} is laid out in a way that cannot be changed without damage; nothing was written",
                    remedy="Write each target as a table of its own, [targets.NAME], and try again.",
                )
            self._replace(changed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from changing the file between our reading and our writing."""
        lock = FileLock(self._folder / "targets.lock", timeout=self._patience, mode=0o600)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise Busy(
                f"another run of uploader is writing {self.path}", remedy="Wait until it is through, and try again."
            ) from None
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

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

    def _replace(self, text: str) -> None:
        """Puts the new text in place in one step, so that no reader and no power cut sees half of it."""
        try:
            replace_text(self.path, text)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be written: {error.strerror}",
        remedy="Set $UPLOADER_HOME to a folder that you may write to.",
    )


def _found(saved: Mapping[str, Target], name: str) -> Target:
    if name in saved:
        return saved[name]
    if not saved:
        raise UsageError(
            f"there is no target {name!r}: none is saved yet",
            remedy="Save one with `uploader login PROVIDER`; `uploader providers` lists the providers.",
        )
    close = difflib.get_close_matches(name, saved, 1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"there is no target {name!r}; saved are: {', '.join(saved)}",
        remedy=f"{hint}`uploader login PROVIDER` saves another.",
    )


# reading ----------------------------------------------------------------------------------------------


def _parsed(path: Path, text: str) -> dict[str, Target]:
    try:
        document: dict[str, object] = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", remedy="Mend that line, or move it away.") from error
    faults: list[ConfigurationError] = []
    for key in document:
        if key not in ("targets", "groups"):
            faults.append(_unknown(path, "", key, ["targets", "groups"]))
    faults += _group_faults(path, document.get("groups", {}))
    tables = document.get("targets", {})
    if not isinstance(tables, dict):
        faults.append(ConfigurationError(f"{path}: targets: it holds tables, [targets.NAME]"))
        tables = {}
    saved = {name: _target(path, name, table, faults) for name, table in tables.items()}
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise Several(faults)
    return {name: target for name, target in saved.items() if target is not None}


def _groups(text: str) -> dict[str, list[str]]:
    """The groups of a file that was found to be sound."""
    groups: dict[str, list[str]] = tomlkit.parse(text).unwrap().get("groups", {})
    return groups


def _group_faults(path: Path, groups: object) -> Iterator[ConfigurationError]:
    """Whether the members are saved is asked when a group is used: a target may be forgotten at any time."""
    if not isinstance(groups, dict):
        yield ConfigurationError(f'{path}: groups: it holds lists of names, NAME = ["a", "b"]')
        return
    for name, members in groups.items():
        if fault := name_fault(name):
            yield ConfigurationError(f"{path}: [groups] {name!r} cannot be a group's name: {fault}")
        if not (isinstance(members, list) and all(isinstance(member, str) for member in members)):
            yield ConfigurationError(f'{path}: [groups] {name}: must be a list of names, ["a", "b"]')


def _target(path: Path, name: str, table: object, faults: list[ConfigurationError]) -> Target | None:
    """Returns the target that a table says; adds what is wrong with it to `faults`, and returns None."""
    where = f"{path}: [targets.{name}]"
    if fault := name_fault(name):
        faults.append(ConfigurationError(f"{where}: {name!r} cannot be a target's name: {fault}"))
    if not isinstance(table, dict):
        faults.append(ConfigurationError(f"{where} must be a table"))
        return None
    before = len(faults)
    free = [key for key in _KEYS if key not in table]
    faults += [_unknown(path, f"[targets.{name}] ", key, free) for key in table if key not in _KEYS]
    faults += [ConfigurationError(f"{where} {key}: is missing") for key in _REQUIRED if key not in table]
    for key, value in table.items():
        if key in _TYPES and (isinstance(value, bool) or not isinstance(value, _TYPES[key])):
            wanted = "a whole number" if isinstance(0, _TYPES[key]) else "text in quotes"
            faults.append(ConfigurationError(f"{where} {key}: must be {wanted}"))
    folders = _folders(where, table.get(_FOLDERS, {}), faults)
    if len(faults) > before:
        return None
    target = Target(name=name, **{**table, _FOLDERS: folders})
    faults += [ConfigurationError(f"{where} {key}: {fault}") for key, fault in value_faults(target)]
    return target


def _folders(where: str, table: object, faults: list[ConfigurationError]) -> dict[Kind, str]:
    """Returns the folders of kinds that a table says."""
    if not isinstance(table, dict):
        faults.append(ConfigurationError(f"{where} {_FOLDERS}: must be a table, from kinds to folders"))
        return {}
    kinds = [kind.value for kind in Kind]
    found: dict[Kind, str] = {}
    for key, folder in table.items():
        if key not in kinds:
            close = difflib.get_close_matches(key, kinds, 1)
            remedy = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(kinds)}."
            faults.append(ConfigurationError(f"{where} {_FOLDERS}.{key}: is no kind of model", remedy=remedy))
        elif not isinstance(folder, str):
            faults.append(ConfigurationError(f"{where} {_FOLDERS}.{key}: must be text in quotes"))
        else:
            found[Kind(key)] = folder
    return found


def _unknown(path: Path, where: str, key: str, free: list[str]) -> ConfigurationError:
    """`free` are the keys that are known there and not used yet."""
    close = difflib.get_close_matches(key, free, 1)
    remedy = f"Did you mean {close[0]}?" if close else "Take it out."
    return ConfigurationError(f"{path}: {where}{key}: is not known here", remedy=remedy)


# changing ---------------------------------------------------------------------------------------------


def _with(text: str, target: Target) -> str:
    """Adds or updates one table; everything else, and comments within it, stay."""
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
    """Takes one table out. Comments that stand between it and the next table are the next one's, and stay.

    Works on lines, as tomlkit counts those comments to the table before them; no value of a file that was read
    strictly spans lines in a way that could be mistaken, and the caller compares."""
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
