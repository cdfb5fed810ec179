"""Tab completion: names of saved targets, ids of providers, WebUIs and jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from uploader.errors import UploaderError

_SOURCES = (("civitai", "a token for Civitai"), ("huggingface", "a token for Hugging Face"))


def target_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a saved target."""
    from uploader.state.targets import Targets, state_folder

    return _matching(
        incomplete, lambda: ((saved.name, saved.provider) for saved in Targets(state_folder(os.environ)).all())
    )


def names_to_forget(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what logout takes: a saved target, or a source with a token."""
    return target_names(_context, _parameter, incomplete) + _matching(incomplete, lambda: _SOURCES)


def login_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what login takes: a provider, or a source with a token."""
    return provider_ids(_context, _parameter, incomplete) + _matching(incomplete, lambda: _SOURCES)


def provider_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a provider, the user's own included."""
    from uploader.profiles import load
    from uploader.state.targets import state_folder

    return _matching(
        incomplete,
        lambda: ((one.id, one.name) for one in load(state_folder(os.environ) / "profiles").providers.values()),
    )


def job_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a job; no server is asked."""
    from uploader.server_download import JobRecords
    from uploader.state.database import Database
    from uploader.state.targets import state_folder

    return _matching(
        incomplete, lambda: ((one.id, one.name) for one in JobRecords(Database(state_folder(os.environ))).all())
    )


def webui_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a WebUI."""
    from uploader.profiles import load
    from uploader.state.targets import state_folder

    return _matching(
        incomplete, lambda: ((one.id, one.name) for one in load(state_folder(os.environ) / "profiles").webuis.values())
    )


def _matching(incomplete: str, pairs: Callable[[], Iterable[tuple[str, str]]]) -> list[CompletionItem]:
    """Return the values that begin with `incomplete`; none if a file of ours is wrong: the command itself says why."""
    try:
        return [CompletionItem(value, help=help) for value, help in pairs() if value.startswith(incomplete)]
    except UploaderError:
        return []
