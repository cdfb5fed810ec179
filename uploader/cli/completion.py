"""What the shell may complete: names of saved targets, ids of providers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from uploader.errors import UploaderError

_SOURCES = (("civitai", "a token for Civitai"), ("huggingface", "a token for Hugging Face"))


def target_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a saved target."""
    from uploader.state.targets import Targets, state_folder

    return _matching(
        incomplete, lambda: ((saved.name, saved.provider) for saved in Targets(state_folder(os.environ)).all())
    )


def names_to_forget(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes what logout forgets: a saved target, or a source's token."""
    return target_names(_context, _parameter, incomplete) + _matching(incomplete, lambda: _SOURCES)


def login_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes what login takes: a provider, or a source that has tokens."""
    return provider_ids(_context, _parameter, incomplete) + _matching(incomplete, lambda: _SOURCES)


def provider_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the id of a provider, a user's own included."""
    from uploader.profiles import load
    from uploader.state.targets import state_folder

    return _matching(
        incomplete,
        lambda: ((one.id, one.name) for one in load(state_folder(os.environ) / "profiles").providers.values()),
    )


def job_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a job; no server is asked."""
    from uploader.server_download import JobRecords
    from uploader.state.targets import state_folder

    return _matching(
        incomplete, lambda: ((one.id, one.name) for one in JobRecords(state_folder(os.environ) / "jobs").all())
    )


def webui_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the id of a WebUI."""
    from uploader.profiles import load
    from uploader.state.targets import state_folder

    return _matching(
        incomplete, lambda: ((one.id, one.name) for one in load(state_folder(os.environ) / "profiles").webuis.values())
    )


def _matching(incomplete: str, pairs: Callable[[], Iterable[tuple[str, str]]]) -> list[CompletionItem]:
    """A file of ours that cannot be read completes nothing: the command itself will say what is wrong with it."""
    try:
        return [CompletionItem(value, help=help) for value, help in pairs() if value.startswith(incomplete)]
    except UploaderError:
        return []
