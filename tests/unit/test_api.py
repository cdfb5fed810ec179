"""The Python API names each class where it says, and each verb of the command line."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from uploader import api
from uploader.cli import _VERBS

FUNCTIONS = [name for name in api.__all__ if name[0].islower()]
SEVERAL = {"webui": ("webui_facts",), "providers": ("profiles",), "demo": ()}
"""Verbs of the command line that the API calls otherwise; the demo is for a person at a terminal."""


@pytest.mark.parametrize("name", [name for name in api.__all__ if name not in FUNCTIONS])
def test_class_is_reachable_by_name(name: str) -> None:
    assert getattr(api, name).__name__ in (name, "Callable")


def test_all_names_every_lazy_class_once() -> None:
    assert sorted(api.__all__) == sorted([*FUNCTIONS, *api._MODULE_OF])


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(api, "Nothing")  # noqa: B009 - mypy would see through api.Nothing


@pytest.mark.parametrize("verb", _VERBS)
def test_each_verb_of_the_command_line_is_a_function(verb: str) -> None:
    assert set(SEVERAL.get(verb, (verb,))) <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_takes_the_session_first_and_is_documented(name: str) -> None:
    function = getattr(api, name)
    assert next(iter(inspect.signature(function).parameters)) == "session"
    assert function.__doc__


def test_session_takes_its_folder_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLOADER_HOME", str(tmp_path))
    session = api.Session()
    assert session.state == tmp_path
    assert api.targets(session) == []
    assert "generic" in api.profiles(session).providers
    assert not list(tmp_path.iterdir())
