"""Every failure that has a name: what happened, what to do next, which exit code, worth another try or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class UploaderError(Exception):
    """The base of all failures that a user may see.

    `message` says what happened and to what; `remedy` says what to do next. `code` is the word in `--json`,
    `exit_code` the process's (both by the table of the README). `retryable` is true for faults that may pass; a single
    error may say otherwise of itself.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: bool = False

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Several(UploaderError):
    """More than one thing is wrong, and all of them are told at once."""

    code = "several"

    def __init__(self, faults: Sequence[UploaderError]) -> None:
        super().__init__("\n".join(fault.message for fault in faults))
        self.faults = tuple(faults)


# 1 ----------------------------------------------------------------------------------------------------


class Exists(UploaderError):
    """The final name is taken by other bytes."""

    code = "exists"


class DeletionRefused(UploaderError):
    """More would be deleted than was allowed, or nobody can say what is gone."""

    code = "delete-limit"


class Busy(UploaderError):
    """Another run of this program is at work on the same file."""

    code = "busy"


class Defect(UploaderError):
    """Something that this program did not foresee: the fault is its own."""

    code = "internal"

    @classmethod
    def of(cls, error: Exception) -> Defect:
        """Names an exception that none of these classes stands for."""
        remedy = "This is a defect of uploader. Please report it with what -v shows."
        return cls(f"internal error: {type(error).__name__}: {error}", remedy=remedy)


# 2 ----------------------------------------------------------------------------------------------------


class UsageError(UploaderError):
    """What was asked cannot be asked that way."""

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
    """No secret is at hand that the other side would take."""

    code = "credentials-missing"
    exit_code = 3


class CredentialsRefused(UploaderError):
    """The other side refused who we said we are. Never tried again by itself."""

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
    """The source will not begin in the middle of a file, though it said that it could."""

    code = "no-ranges"


class NotAModel(UploaderError):
    """The bytes are a web page, an error answer, an archive, a pickle: not a model that may be placed."""

    code = "not-a-model"
    exit_code = 4


# 5 ----------------------------------------------------------------------------------------------------


class NetworkError(UploaderError):
    """The line: unreachable, cut, silent."""

    code = "network"
    exit_code = 5
    retryable = True


class RateLimited(NetworkError):
    """The other side asks for patience. `wait` is in seconds, None if it did not say."""

    code = "rate-limited"

    def __init__(self, message: str, *, remedy: str | None = None, wait: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wait = wait


# 6 ----------------------------------------------------------------------------------------------------


class RemoteRefused(UploaderError):
    """The server answered, and said no."""

    code = "remote-refused"
    exit_code = 6


class PartHeld(RemoteRefused):
    """The server does not open a part file, maybe as it has not noticed that the line to its last writer is lost."""

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
    """The server does not let this account do that."""

    code = "permission"


class NoSpace(RemoteRefused):
    """The server's disk or quota is full, or would be."""

    code = "space"


class Unsupported(RemoteRefused):
    """The server does not know this operation."""

    code = "unsupported"


class NoSftp(RemoteRefused):
    """The server lets us in and gives no SFTP, or something else writes into its stream."""

    code = "no-sftp"


class WebUIRefused(RemoteRefused):
    """What answers at the WebUI's address does not answer as that WebUI does."""

    code = "webui"


# 7 ----------------------------------------------------------------------------------------------------


class WrongBytes(UploaderError):
    """The bytes are not the ones that were promised."""

    code = "hash"
    exit_code = 7


class Truncated(WrongBytes):
    """A file that ends before its own header says it does, or after."""

    code = "truncated"


class SourceChanged(WrongBytes):
    """The source is not the file any more that we began to read."""

    code = "source-changed"


# 8 ----------------------------------------------------------------------------------------------------


class HostKeyUnknown(UploaderError):
    """Nobody has said yet that this key belongs to this server."""

    code = "host-key-unknown"
    exit_code = 8


class HostKeyChanged(UploaderError):
    """The server shows another key than the one that was pinned."""

    code = "host-key-changed"
    exit_code = 8


class CertificateUnknown(UploaderError):
    """Nobody has said yet that this certificate belongs to this address, or it is another than the pinned one."""

    code = "certificate"
    exit_code = 8


# 130 --------------------------------------------------------------------------------------------------


class Interrupted(UploaderError):
    """The user stopped the program."""

    code = "interrupted"
    exit_code = 130
