"""The error tree: what happened, what to do next, the exit code, and if another try can help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class UploaderError(Exception):
    """The base of all failures that a user may see.

    `message` says what happened, `remedy` what to do next. `code` is the word in `--json`, `exit_code` the process's;
    docs/scripting.md has the table. `retryable` is True for errors that may pass; an instance may differ.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: bool = False

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Several(UploaderError):
    """Several errors, reported at once."""

    code = "several"

    def __init__(self, faults: Sequence[UploaderError]) -> None:
        super().__init__("\n".join(fault.message for fault in faults))
        self.faults = tuple(faults)


# 1 ----------------------------------------------------------------------------------------------------


class Exists(UploaderError):
    """The final name is taken by other bytes."""

    code = "exists"


class DeletionRefused(UploaderError):
    """More would be deleted than was allowed, or it is not known what is gone."""

    code = "delete-limit"


class Busy(UploaderError):
    """Another run of this program is at work on the same file."""

    code = "busy"


class Defect(UploaderError):
    """An error of this program itself."""

    code = "internal"

    @classmethod
    def of(cls, error: Exception) -> Defect:
        """Return the defect that stands for an exception without a class of ours."""
        remedy = "This is a defect of uploader. Please report it with what -v shows."
        return cls(f"internal error: {type(error).__name__}: {error}", remedy=remedy)


# 2 ----------------------------------------------------------------------------------------------------


class UsageError(UploaderError):
    """A request that cannot be made that way."""

    code = "usage"
    exit_code = 2


class ReferenceInvalid(UsageError):
    """A reference that cannot be parsed."""

    code = "reference"


class ConfigurationError(UploaderError):
    """A file of ours (targets.toml, a profile) does not say what it must."""

    code = "configuration"
    exit_code = 2


class RouteUnavailable(UploaderError):
    """This target or this source cannot be reached by the route that was asked for."""

    code = "route"
    exit_code = 2


class KindUnplaceable(UploaderError):
    """This WebUI has no folder for models of that kind, or the kind is not known."""

    code = "kind"
    exit_code = 2


# 3 ----------------------------------------------------------------------------------------------------


class CredentialsMissing(UploaderError):
    """No secret is known that the other side takes."""

    code = "credentials-missing"
    exit_code = 3


class CredentialsRefused(UploaderError):
    """The other side refused our credentials. It is never asked again with the same ones."""

    code = "credentials-refused"
    exit_code = 3


class KeyringUnavailable(UploaderError):
    """No keyring works here, or it does not answer."""

    code = "keyring"
    exit_code = 3


# 4 ----------------------------------------------------------------------------------------------------


class SourceMissing(UploaderError):
    """The source has no such thing."""

    code = "source-missing"
    exit_code = 4


class SourceRefused(UploaderError):
    """The source has it and will not give it."""

    code = "source-refused"
    exit_code = 4


class NoRanges(SourceRefused):
    """The source gives no ranges, though it promised them."""

    code = "no-ranges"


class NotAModel(UploaderError):
    """The bytes are a web page, an error answer, an archive, a pickle: not a model that may be placed."""

    code = "not-a-model"
    exit_code = 4


# 5 ----------------------------------------------------------------------------------------------------


class NetworkError(UploaderError):
    """A connection that cannot be made, is cut, or is silent."""

    code = "network"
    exit_code = 5
    retryable = True


class RateLimited(NetworkError):
    """The other side asks to wait: `wait` seconds, None if it did not say."""

    code = "rate-limited"

    def __init__(self, message: str, *, remedy: str | None = None, wait: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wait = wait


# 6 ----------------------------------------------------------------------------------------------------


class RemoteRefused(UploaderError):
    """The server refused an operation."""

    code = "remote-refused"
    exit_code = 6


class PartHeld(RemoteRefused):
    """The server does not open a part file: it may still hold it for a connection that is lost."""

    code = "part-held"
    retryable = True


class RemoteMissing(RemoteRefused):
    """The server has no such file or folder."""

    code = "remote-missing"


class RemoteExists(RemoteRefused):
    """The server will not make a name that is taken."""

    code = "remote-exists"


class NoSuchRoot(RemoteRefused):
    """The target's root is not there."""

    code = "no-root"


class NoPermission(RemoteRefused):
    """The server does not permit that to this account."""

    code = "permission"


class NoSpace(RemoteRefused):
    """The server's disk or quota is full, or would be."""

    code = "space"


class Unsupported(RemoteRefused):
    """The server does not know this operation."""

    code = "unsupported"


class NoSftp(RemoteRefused):
    """The server gives no SFTP after the sign-in, or other output disturbs its stream."""

    code = "no-sftp"


class WebUIRefused(RemoteRefused):
    """The WebUI's address answers, but not as that WebUI does."""

    code = "webui"


# 7 ----------------------------------------------------------------------------------------------------


class WrongBytes(UploaderError):
    """The bytes are not the ones that were promised."""

    code = "hash"
    exit_code = 7


class Truncated(WrongBytes):
    """A file that ends before or after the end that its own header tells."""

    code = "truncated"


class SourceChanged(WrongBytes):
    """The source is no longer the file that we began to read."""

    code = "source-changed"


# 8 ----------------------------------------------------------------------------------------------------


class HostKeyUnknown(UploaderError):
    """The server's key is not known yet."""

    code = "host-key-unknown"
    exit_code = 8


class HostKeyChanged(UploaderError):
    """The server shows another key than the one that was pinned."""

    code = "host-key-changed"
    exit_code = 8


class CertificateUnknown(UploaderError):
    """The WebUI's certificate is not known yet, or differs from the pinned one."""

    code = "certificate"
    exit_code = 8


# 130 --------------------------------------------------------------------------------------------------


class Interrupted(UploaderError):
    """The user stopped the program."""

    code = "interrupted"
    exit_code = 130
