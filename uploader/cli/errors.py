"""The one error boundary: every exception becomes a sentence and an exit code here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import click

from uploader.cli.invocation import Invocation
from uploader.cli.terminal import print_error, print_note, write_document
from uploader.errors import Defect, Interrupted, Several, UploaderError, UsageError

_CLOSED_PIPE = 1


def guarded(run: Callable[[], object], invocation: Invocation, arguments: Sequence[str] = ()) -> int:
    """Run a command and return its exit code: the int that `run` returns, else 0.

    With --json the error is also a document on stdout. If the arguments themselves are wrong, `arguments` are searched
    for --json. They also name the verb, and so the shape of the document.
    """
    try:
        code = _run(run, invocation, arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _close_quietly()
        return _CLOSED_PIPE


def _run(run: Callable[[], object], invocation: Invocation, arguments: Sequence[str]) -> int:
    try:
        code = run()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        invocation.json = invocation.json or _asks_for_json(arguments)
        _document(UsageError(error.format_message() or "no command was given"), invocation, arguments)
        error.show()
        return error.exit_code
    except UploaderError as error:
        return _failed(error, invocation, arguments)
    except (KeyboardInterrupt, click.Abort):
        remedy = "Run the same command again: a push goes on from what arrived."
        return _failed(Interrupted("stopped by you", remedy=remedy), invocation, arguments)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: a user never sees a bare traceback
        return _defect(error, invocation, arguments)


def _failed(error: UploaderError, invocation: Invocation, arguments: Sequence[str]) -> int:
    _document(error, invocation, arguments)
    for fault in _faults(error):
        print_error(fault.message, fault.remedy)
    return exit_code(error)


def exit_code(error: UploaderError) -> int:
    """Return the error's exit code; of several errors the one that they share, else 1."""
    codes = {fault.exit_code for fault in _faults(error)}
    return codes.pop() if len(codes) == 1 else error.exit_code


def _faults(error: UploaderError) -> list[UploaderError]:
    if not isinstance(error, Several):
        return [error]
    return [fault for inner in error.faults for fault in _faults(inner)]


def _defect(error: Exception, invocation: Invocation, arguments: Sequence[str]) -> int:
    """Report an exception that is not ours as a defect of this program."""
    if invocation.verbose:
        import traceback

        print_note("".join(traceback.format_exception(error)).rstrip())
    told = Defect.of(error)
    _document(told, invocation, arguments)
    print_note(f"{told.message} — this is a defect of uploader, please report it with what -v shows")
    return told.exit_code


def _document(error: UploaderError, invocation: Invocation, arguments: Sequence[str]) -> None:
    if invocation.json:
        from uploader import documents

        pushing = next((word for word in arguments if not word.startswith("-")), None) in ("push", "sync", "pull")
        write_document(documents.of_failed_push(error) if pushing else documents.of_error(error))


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Return True if --json was given: where parsing failed, later flags were not read."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _close_quietly() -> None:
    """Redirect the closed streams to nowhere: Python flushes them once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
