from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import dataclass

import pytest

from uploader.secret import Secret

VALUE = "correct horse battery staple"


@dataclass(frozen=True)
class Holder:
    name: str
    secret: Secret


@pytest.mark.parametrize(
    "text",
    [
        repr(Secret(VALUE)),
        str(Secret(VALUE)),
        f"{Secret(VALUE)}",
        f"{Secret(VALUE)!r:>40}",
        f"{Secret(VALUE):>40}",
        f"{Secret(VALUE):s}",
        "%s %r" % (Secret(VALUE), Secret(VALUE)),  # noqa: UP031
        repr([Secret(VALUE)]),
        repr(Holder("x", Secret(VALUE))),
    ],
)
def test_a_secret_does_not_print_itself(text: str) -> None:
    assert VALUE not in text
    assert "Secret(***)" in text


def test_a_secret_stays_out_of_logs(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("signing in with %s", Secret(VALUE))
    assert VALUE not in caplog.text


def test_only_reveal_gives_a_secret_out() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_a_secret_is_not_pickled_nor_copied() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.deepcopy(Holder("x", Secret(VALUE)))


def test_a_secret_has_no_attributes_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_secrets_compare_by_value_and_not_with_text() -> None:
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_secrets_are_no_keys() -> None:
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret(" ")
