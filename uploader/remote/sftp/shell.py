"""Commands on the server: constant programs in the argument list, everything that varies on their standard input.

So a file's name never meets the quoting rules of a shell, and the account's shell does not matter.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Sequence

import paramiko

from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.interface import Range, Space
from uploader.remote.sftp.errors import mapped
from uploader.remote.sftp.transport import end_input

_MARK = "uploader-shell"
_PROBE = (
    f"echo; echo {_MARK}; for t in python3 openssl sha256sum df; do "
    'command -v "$t" >/dev/null 2>&1 && echo "$t"; done; exit 0'
)
# A login script may have printed a text without an end of line. The last line says that nothing was lost on the way.
_START = (
    f"echo; echo {_MARK}; IFS= read -r program || exit 1; "
    f'(eval "$program"); status=$?; echo; echo "{_MARK}-end $status"'
)
_ANSWER = re.compile(rf"(?:.*?\n)?{_MARK}\n(.*)\n{_MARK}-end (\d+)\s*", re.DOTALL)
_HASHERS = ("python3", "openssl", "sha256sum")  # fastest first, where the CPU has SHA instructions
_SILENCE_SECONDS = 30.0
_LONG_SILENCE_SECONDS = 600.0  # of tools that say nothing while they read a big file

# Travels on standard input as one line (its repr). A dot every two seconds says that the hashing goes on.
_PYTHON = (
    "import sys,hashlib,time\n"
    "i=sys.stdin.buffer\n"
    "f=open(i.readline()[:-1],'rb')\n"
    "t=time.monotonic()\n"
    "for l in i:\n"
    "    o,n=map(int,l.split()); f.seek(o); h=hashlib.sha256()\n"
    "    while n>0:\n"
    "        b=f.read(min(n,1<<20))\n"
    "        if not b: break\n"
    "        h.update(b); n-=len(b)\n"
    "        if time.monotonic()-t>2: t=time.monotonic(); print('.',flush=True)\n"
    "    print(h.hexdigest(),flush=True)\n"
)
PYTHON_START = "import sys;exec(eval(sys.stdin.buffer.readline()))"
# The same for whole files, one path a line. "-" stands for a file that cannot be read.
_PYTHON_FILES = (
    "import sys,hashlib,time\n"
    "t=time.monotonic()\n"
    "for l in sys.stdin.buffer:\n"
    "    h=hashlib.sha256()\n"
    "    try:\n"
    "        with open(l[:-1],'rb') as f:\n"
    "            while True:\n"
    "                b=f.read(1<<20)\n"
    "                if not b: break\n"
    "                h.update(b)\n"
    "                if time.monotonic()-t>2: t=time.monotonic(); print('.',flush=True)\n"
    "        print(h.hexdigest())\n"
    "    except OSError: print('-')\n"
)
_FILES = 'while IFS= read -r p; do if [ -f "$p" ] && [ -r "$p" ]; then {hasher} < "$p" || echo -; else echo -; fi; done'
_COPY = 'IFS= read -r a; IFS= read -r b; cp --reflink=auto -- "$a" "$b" 2>/dev/null || cp -- "$a" "$b"'
_MARKS = (
    'while IFS= read -r m; do if [ -f "$m" ]; then rm -f -- "$m" 2>/dev/null; '
    'if [ -f "$m" ]; then echo left; else echo removed; '
    'find "${m%/*}" -maxdepth 1 -name ".uploader-*.part" -size 0 -mmin +1 -exec rm -f {} + </dev/null 2>/dev/null '
    "|| :; fi; "
    "else echo no; fi; done"
)
_BLOCKS = 'IFS= read -r p; IFS= read -r n; dd if="$p" {range} skip="$n" 2>/dev/null | {hasher}'
_DIGEST = re.compile(r"\\?([0-9a-f]{64})(?: .*)?")
_COMMANDS = {"openssl": "openssl dgst -sha256 -r", "sha256sum": "sha256sum"}
_PYTHON_STDIN = "python3 -I -c 'import sys,hashlib;print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'"
_SLOWEST_DISK = 10e6  # bytes per second

Stdin = bytes | Callable[[], bytes]
"""What a command is given. A call is made once the command has begun."""


class Shell:
    """Runs commands over new channels of one connection."""

    def __init__(self, transport: paramiko.Transport, where: str, tools: tuple[str, ...]) -> None:
        self._transport = transport
        self._where = where
        self.tools = tools

    def run(self, program: str, stdin: Stdin = b"", *, silence_seconds: float = _SILENCE_SECONDS) -> str:
        """Run one line of sh; it and `stdin` travel on standard input."""

        def fed() -> bytes:
            return program.encode() + b"\n" + (stdin if isinstance(stdin, bytes) else stdin())

        out = self._run(["sh", "-c", _START], fed, silence_seconds=silence_seconds)
        answer = _ANSWER.fullmatch(out)
        if answer is None and _MARK in out:
            raise NetworkError(f"the line to {self._where} was cut", remedy="Run the same command again.")
        if answer is None or answer[2] != "0":
            status = answer[2] if answer else "none"
            raise RemoteRefused(f"a command on {self._where} ended with status {status}")
        return answer[1]

    @property
    def hashes_files(self) -> bool:
        """Whether there is a tool to hash with."""
        return any(tool in _HASHERS for tool in self.tools)

    def hashes(self, path: str, size: int, ranges: Sequence[Range]) -> list[str] | None:
        """Return the sha256 of ranges of a file of `size` bytes; None when no tool there can take it.

        Only Python hashes a part of a file; the other tools hash the whole."""
        if "\n" in path or "\0" in path:
            return None
        if "python3" in self.tools and (found := self._hash_ranges(path, ranges)) is not None:
            return found
        whole = self.hash_files([path], size) if list(ranges) == [(0, size)] else None
        return None if whole is None or whole[0] is None else [whole[0]]

    def hash_files(self, paths: Sequence[str], size: int = 0) -> list[str | None] | None:
        """Return the sha256 of whole files, by one command of the fastest tool; None when no tool can take it.

        `size` is that of all of them, in bytes, where it is known: the tools are silent while they read."""
        if any("\n" in path or "\0" in path for path in paths):
            return None
        stdin = b"".join(map(_line, paths))
        for tool in (tool for tool in self.tools if tool in _HASHERS):
            if tool == "python3":
                command, lead = ["python3", "-I", "-c", PYTHON_START], f"{_PYTHON_FILES!r}\n".encode()
            else:
                command, lead = ["sh", "-c", _FILES.replace("{hasher}", _COMMANDS[tool])], b""
            with contextlib.suppress(RemoteRefused):
                out = self._run(command, lead + stdin, silence_seconds=_LONG_SILENCE_SECONDS + size / _SLOWEST_DISK)
                found = [line for line in out.splitlines() if line != "."]
                if len(found) == len(paths):
                    return [match[1] if (match := _DIGEST.fullmatch(line)) else None for line in found]
        return None

    def copy(self, source: str, destination: str) -> bool:
        """Copies a file, sharing its blocks where the disk can do that. Tells whether it did."""
        if "\n" in source + destination:
            return False
        try:
            self._run(["sh", "-c", _COPY], _line(source) + _line(destination), silence_seconds=_LONG_SILENCE_SECONDS)
        except RemoteRefused:
            return False
        return True

    def find_marks(self, paths: Callable[[], Sequence[str]]) -> list[str]:
        """Look for files and remove them: "removed", "left" (it is there and stays) or "no" for each.

        Marks beside them that are older than a minute go too: a run that lost its connection for good left them.

        `paths` is called once the shell has begun. Raises RemoteRefused and NetworkError."""
        return self.run(_MARKS, lambda: b"".join(map(_line, paths()))).split()

    def hash_blocks(self, path: str, size: int, first: int, count: int) -> str | None:
        """Return the sha256 of `count` blocks of `size` bytes from the block `first` on; None when it cannot."""
        tool = next((tool for tool in reversed(_HASHERS) if tool in self.tools), None)
        if tool is None or "\n" in path:
            return None
        program = _BLOCKS.replace("{range}", f"bs={size} count={count}")
        program = program.replace("{hasher}", _COMMANDS.get(tool, _PYTHON_STDIN))
        with contextlib.suppress(RemoteRefused):
            found = _DIGEST.fullmatch(self.run(program, _line(path) + b"%d\n" % first).strip())
            return found[1] if found else None
        return None

    def space(self, path: str) -> Space | None:
        """Asks df for the disk of a folder."""
        if "df" not in self.tools or "\n" in path:
            return None
        try:
            out = self._run(["sh", "-c", 'IFS= read -r p; df -Pk "$p"'], _line(path))
        except RemoteRefused:
            return None
        fields = out.splitlines()[-1].split() if out.strip() else []
        if len(fields) < 6 or not (fields[1].isdigit() and fields[3].isdigit()):
            return None
        return Space(free=int(fields[3]) * 1024, total=int(fields[1]) * 1024)

    def _hash_ranges(self, path: str, ranges: Sequence[Range]) -> list[str] | None:
        lines = "".join(f"{offset} {length}\n" for offset, length in ranges)
        stdin = f"{_PYTHON!r}\n".encode() + _line(path) + lines.encode()
        try:
            out = self._run(["python3", "-I", "-c", PYTHON_START], stdin)
        except RemoteRefused:
            return None
        found = [match[1] for line in out.splitlines() if (match := _DIGEST.fullmatch(line))]
        return found if len(found) == len(ranges) else None

    def _run(self, command: Sequence[str], stdin: Stdin, *, silence_seconds: float = _SILENCE_SECONDS) -> str:
        return run(self._transport, self._where, command, stdin, silence_seconds=silence_seconds)


def probe(transport: paramiko.Transport, where: str) -> tuple[str, ...] | None:
    """Looks once whether commands run; the tools that they find, None where none runs."""
    try:
        out = run(transport, where, ["sh", "-c", _PROBE], b"", silence_seconds=10.0)
    except RemoteRefused:
        return None
    except NetworkError:
        if transport.is_active():  # an SFTP-only account may leave the question unanswered
            return None
        raise
    lines = [line.strip() for line in out.splitlines()]
    return tuple(lines[lines.index(_MARK) + 1 :]) if _MARK in lines else None


def run(
    transport: paramiko.Transport,
    where: str,
    command: Sequence[str],
    stdin: Stdin,
    *,
    silence_seconds: float,
) -> str:
    """Runs one command and returns what it wrote. `silence_seconds` is the longest silence, in seconds.

    Raises RemoteRefused when it cannot be run or ends with another status than 0. Raises NetworkError when the line
    is lost or silent.
    """
    with mapped(where):
        channel = transport.open_session(timeout=min(silence_seconds, _SILENCE_SECONDS))
        try:
            channel.settimeout(silence_seconds)
            try:
                channel.exec_command(shlex.join(command))
            except paramiko.SSHException as error:
                if transport.is_active():
                    raise RemoteRefused(f"{where} runs no commands") from error
                raise
            out = _converse(channel, stdin if isinstance(stdin, bytes) else stdin())
            # Some servers close without a status: the output then speaks for itself.
            if not channel.status_event.wait(silence_seconds):
                raise TimeoutError
            status = channel.exit_status
            if status == -1 and not transport.is_active():
                raise EOFError  # the line's end is not the command's
        finally:
            channel.close()
    if status not in (0, -1):
        raise RemoteRefused(f"a command on {where} ended with status {status}")
    return out.decode("utf-8", "replace")


def _converse(channel: paramiko.Channel, stdin: bytes) -> bytes:
    channel.set_combine_stderr(False)
    try:
        channel.sendall(stdin)
        end_input(channel)
    except OSError:
        if not channel.closed and not channel.eof_received:
            raise  # a command that does not read its input may end first; then what it wrote counts
    out = bytearray()
    while len(out) < 8 * 1024 * 1024 and (got := channel.recv(65536)):
        out += got
    return bytes(out)


def _line(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape") + b"\n"
