"""A reader of OpenSSH's client configuration: what ~/.ssh/config says of one host (ssh_config(5), OpenSSH readconf.c).

The main path:

    for each file, in order, and twice where a block asks for a final pass:
        for each line: Host or Match opens a block; Include reads other files in its place
        an option of a block that holds is kept, unless an earlier line gave it
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from uploader.errors import ConfigurationError

_MOST_DEPTH = 16
"""Files that include one another, as in OpenSSH."""

_EXEC_SECONDS = 10.0

_MANY = {"identityfile", "certificatefile"}
"""Options that each line adds to; of all others the first line counts."""

_WHOLE_LINE = {"proxycommand"}
"""Options whose value is the rest of the line, quotes and all."""

_WORD = re.compile(r"""(?:"(?:\\["'\\]|[^"])*"|'(?:\\["'\\]|[^'])*'|\\["'\\ ]|[^\s"'])+|["']""")


@dataclass
class HostOptions:
    """What the file says of one host. Keys are in lower case; values are as written, their tokens not filled in."""

    one: dict[str, str] = field(default_factory=dict)
    many: dict[str, list[str]] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        return self.one.get(key)

    def keep(self, key: str, value: str) -> None:
        if key in _MANY:
            values = self.many.setdefault(key, [])
            if value not in values:
                values.append(value)
        elif key == "proxyjump" and "proxycommand" in self.one:
            return  # of the two, the first counts
        elif key == "proxycommand" and self.one.get("proxyjump", "none").lower() != "none":
            return
        else:
            self.one.setdefault(key, value)


class SshConfigReader:
    """Reads the configuration of one host.

    `fill` replaces the tokens of a text (`%h` ...). `tell` is given a sentence for each block that cannot be judged;
    such a block does not apply.
    """

    def __init__(
        self,
        alias: str,
        options: HostOptions,
        *,
        local_user: str,
        fill: Callable[[str], str],
        tell: Callable[[str], None],
        folder: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.options = options
        self._alias = alias
        self._host = alias
        self._local_user = local_user
        self._fill = fill
        self._tell = tell
        self._folder = folder
        self._environ = os.environ if environ is None else environ
        self._final = False
        self._wants_final = False

    def read(self, path: Path) -> HostOptions:
        """Return the options of the host. Raises ConfigurationError for a file that OpenSSH cannot read either."""
        self._read(path, active=True, depth=0)
        if self._wants_final:
            self._final = True
            self._host = self._hostname()
            self.options.one["hostname"] = self._host.replace("%", "%%")  # a later HostName comes too late, as in ssh
            self._read(path, active=True, depth=0)
        return self.options

    def _read(self, path: Path, *, active: bool, depth: int) -> None:
        outside = active
        for number, line in enumerate(_lines(path), 1):
            try:
                keyword, text = _split(line)
                if keyword is None:
                    continue
                words = [text] if keyword in _WHOLE_LINE else _words(text)
                if not words:
                    raise ValueError(f"{keyword} has no value")
                if keyword == "host":
                    active = outside and _is_host(self._host, words)
                elif keyword == "match":
                    active = outside and self._matches(words, f"{path}:{number}")
                elif keyword == "include":
                    self._include(words, active=active, depth=depth)
                elif active:
                    self.options.keep(keyword, words[0])
            except ValueError as error:
                raise ConfigurationError(
                    f"{path} could not be read: line {number}: {error}",
                    remedy=f"`ssh -G {self._alias}` shows how OpenSSH reads it.",
                ) from error

    def _include(self, words: list[str], *, active: bool, depth: int) -> None:
        if depth >= _MOST_DEPTH:
            raise ValueError("too many files include one another")
        for word in words:
            pattern = Path(with_variables(word, self._environ)).expanduser()
            pattern = pattern if pattern.is_absolute() else self._folder / pattern
            for name in sorted(glob.glob(str(pattern))):  # noqa: PTH207 - an absolute pattern
                if Path(name).is_file():
                    self._read(Path(name), active=active, depth=depth + 1)

    # Match --------------------------------------------------------------------------------------------

    def _matches(self, words: list[str], where: str) -> bool:
        """Return whether all criteria hold. Each is judged, as an unknown one has its value after it too."""
        holds = True
        rest = iter(words)
        for word in rest:
            name, equals, value = word.partition("=")
            criterion = name.lower().removeprefix("!")
            if criterion in ("all", "canonical", "final"):
                found: bool | None = self._of_pass(criterion)
            else:
                argument = value if equals else next(rest, None)
                if argument is None:
                    raise ValueError(f"Match {name} has no value")
                found = self._judged(criterion, argument, where) if holds else True
            if found is None:
                return False
            holds = holds and found is not name.startswith("!")
        return holds

    def _of_pass(self, criterion: str) -> bool:
        self._wants_final = self._wants_final or criterion == "final"
        return criterion == "all" or (criterion == "final" and self._final)

    def _judged(self, criterion: str, argument: str, where: str) -> bool | None:
        """Return whether one criterion holds; None, and a note, for one that cannot be judged here."""
        match criterion:
            case "host":
                return _is_listed(self._hostname().lower(), argument.lower())
            case "originalhost":
                return _is_listed(self._alias.lower(), argument.lower())
            case "user":
                return _is_listed(self.options.get("user") or self._local_user, argument)
            case "localuser":
                return _is_listed(self._local_user, argument)
            case "tagged":
                return _is_listed(self.options.get("tag") or "", argument)
            case "exec":
                return self._run(self._fill(argument), where)
        self._tell(f"{where}: Match {criterion} cannot be judged here; its block is passed over")
        return None

    def _run(self, command: str, where: str) -> bool | None:
        shell = self._environ.get("SHELL") or "/bin/sh"
        arguments = command if os.name == "nt" else [shell, "-c", command]
        try:
            done = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_EXEC_SECONDS,
                check=False,
                shell=os.name == "nt",
            )
        except (OSError, subprocess.TimeoutExpired):
            self._tell(f"{where}: the command of Match exec could not be run; its block is passed over")
            return None
        return done.returncode == 0

    def _hostname(self) -> str:
        name = self.options.get("hostname")
        return name.replace("%h", self._alias).replace("%%", "%") if name else self._alias


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file. Any bytes are read: a comment may be in an old encoding."""
    try:
        yield from path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff").splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"{path} could not be read: {error.strerror}", remedy="Make it readable for your account, or move it away."
        ) from error


def _split(line: str) -> tuple[str | None, str]:
    """Split a line into its keyword (lower case) and the rest. None for an empty line and a comment."""
    text = line.strip()
    if not text or text.startswith("#"):
        return None, ""
    found = re.match(r"([^\s=\"]+)\s*=?\s*(.*)$", text, re.DOTALL) or re.match(
        r'"([^"]*)"\s*=?\s*(.*)$', text, re.DOTALL
    )
    if found is None:
        raise ValueError("it begins with no keyword")
    return found[1].lower(), found[2]


def _words(text: str) -> list[str]:
    """Split a value into words, as a shell would. A `#` that begins a word begins a comment."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] == "#":
            break
        found = _WORD.match(text, at)
        word = found[0] if found else text[at:]
        if found is None or word in ('"', "'") or _is_open(word):
            raise ValueError("a quotation mark is not closed")
        words.append(_unquoted(word))
        at += len(word)
    return words


def _is_open(word: str) -> bool:
    return re.sub(r"\"(?:\\[\"'\\]|[^\"])*\"|'(?:\\[\"'\\]|[^'])*'|\\.", "", word).count('"') > 0


def _unquoted(word: str) -> str:
    parts = re.findall(r"\"((?:\\[\"'\\]|[^\"])*)\"|'((?:\\[\"'\\]|[^'])*)'|((?:\\[\"'\\ ]|[^\"'])+)", word)
    return "".join(re.sub(r"\\([\"'\\ ])", r"\1", double or single or bare) for double, single, bare in parts)


def _is_host(host: str, patterns: list[str]) -> bool:
    """Return whether a Host line names the host: by one of its patterns, and by none that begins with `!`."""
    if any(_is_like(host, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_is_like(host, pattern) for pattern in patterns if not pattern.startswith("!"))


def _is_listed(value: str, patterns: str) -> bool:
    return _is_host(value, [pattern for pattern in patterns.split(",") if pattern])


def _is_like(text: str, pattern: str) -> bool:
    """Match OpenSSH's patterns, which know `*` and `?` alone."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def with_variables(text: str, environ: Mapping[str, str]) -> str:
    """Fill in `${NAME}`. Raises ValueError for a variable that is not set."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise ValueError(f"${{{found[1]}}} is not set")
        return environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)
