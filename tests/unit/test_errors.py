from __future__ import annotations

from collections.abc import Iterator

import pytest

from uploader import errors
from uploader.errors import UploaderError

CONTRACT = {
    errors.UsageError: 2,
    errors.ReferenceInvalid: 2,
    errors.ConfigurationError: 2,
    errors.RouteUnavailable: 2,
    errors.CredentialsMissing: 3,
    errors.CredentialsRefused: 3,
    errors.SourceMissing: 4,
    errors.SourceRefused: 4,
    errors.NotAModel: 4,
    errors.NetworkError: 5,
    errors.RateLimited: 5,
    errors.NoPermission: 6,
    errors.NoSpace: 6,
    errors.NoSuchRoot: 6,
    errors.WrongBytes: 7,
    errors.Truncated: 7,
    errors.HostKeyUnknown: 8,
    errors.HostKeyChanged: 8,
    errors.Interrupted: 130,
    errors.Exists: 1,
}


def every_class(base: type[UploaderError] = UploaderError) -> Iterator[type[UploaderError]]:
    yield base
    for child in base.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_class(child)


@pytest.mark.parametrize(("kind", "code"), CONTRACT.items())
def test_exit_codes_are_the_contract_s(kind: type[UploaderError], code: int) -> None:
    assert kind.exit_code == code


@pytest.mark.parametrize("kind", list(every_class()))
def test_every_error_has_an_exit_code_of_the_contract(kind: type[UploaderError]) -> None:
    assert kind.exit_code in {1, 2, 3, 4, 5, 6, 7, 8, 130}


def test_every_error_has_its_own_word() -> None:
    words = [kind.code for kind in list(every_class())]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("kind", list(every_class()))
def test_only_network_errors_and_held_parts_are_retryable(kind: type[UploaderError]) -> None:
    assert kind.retryable == issubclass(kind, errors.NetworkError | errors.PartHeld)


def test_an_error_reads_as_its_message_and_keeps_its_remedy() -> None:
    error = errors.NoSpace("the disk is full", remedy="Remove a model.")
    assert (str(error), error.message, error.remedy) == ("the disk is full", "the disk is full", "Remove a model.")


def test_a_rate_limit_keeps_the_seconds_asked_for() -> None:
    assert errors.RateLimited("slow down", wait=7.5).wait == 7.5
    assert errors.RateLimited("slow down").wait is None


def test_several_faults_are_all_told() -> None:
    faults = [errors.ConfigurationError("a is missing"), errors.ConfigurationError("b is not known")]
    several = errors.Several(faults)
    assert several.faults == tuple(faults)
    assert several.message.splitlines() == ["a is missing", "b is not known"]
