"""Private keys as files and in an ssh-agent: what is there, and how it is read."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from uploader.errors import ConfigurationError


def blob(key: paramiko.PKey) -> bytes:
    return key.public_blob.key_blob if key.public_blob is not None else key.asbytes()


_KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_PKCS8 = ("-----BEGIN PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----")


def read_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Read a private key in OpenSSH's, PEM's or PKCS#8's form (RFC 5958), with any line ends.

    Raises PasswordRequiredException when the passphrase is missing or wrong, ConfigurationError for what is no key.
    """
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read: {error.strerror}",
            remedy="Make it readable for you alone (chmod 600), or name another by --identity-file.",
        ) from error
    last: Exception = ValueError("it has no key")
    try:
        if text.lstrip().startswith(_PKCS8):
            text, passphrase = _as_openssh(text, passphrase), None
        for kind in _KINDS:
            try:
                return kind.from_private_key(io.StringIO(text), password=passphrase)
            except (paramiko.PasswordRequiredException, UnsupportedAlgorithm):
                raise
            except (paramiko.SSHException, ValueError) as error:
                last = error
    except (ValueError, UnsupportedAlgorithm) as error:
        last = error
    if passphrase is not None:
        raise paramiko.PasswordRequiredException(str(last))
    raise ConfigurationError(
        f"{path} is not a private key that can be used: {last}",
        remedy="Ed25519, ECDSA and RSA keys are read in OpenSSH, PEM and PKCS#8 form. Export a .ppk of PuTTY first.",
    )


def _as_openssh(text: str, passphrase: str | None) -> str:
    """Return a PKCS#8 key in OpenSSH's form, which paramiko reads. Raises as `read_key`, and ValueError."""
    locked = text.lstrip().startswith(_PKCS8[1])
    if locked and passphrase is None:
        raise paramiko.PasswordRequiredException("the key is locked by a passphrase")
    try:
        key = serialization.load_pem_private_key(
            text.strip().encode(), passphrase.encode() if locked and passphrase else None
        )
    except ValueError as error:
        if locked:
            raise paramiko.PasswordRequiredException(str(error)) from error
        raise
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("it is a key of another kind")  # noqa: TRY004 - told as what the file holds
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def is_file(path: Path) -> bool:
    """Whether there is a file to open; one in a folder that we may not enter is none for us."""
    try:
        return path.is_file()
    except OSError:
        return False


def agent_listens() -> bool:
    """Return whether an agent answers at $SSH_AUTH_SOCK. paramiko leaves a socket open when none does."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path or sys.platform == "win32":
        return True
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(2.0)
        try:
            trial.connect(path)
        except OSError:
            return False
        return True


def agents(path: Path, agent: Sequence[paramiko.AgentKey]) -> paramiko.AgentKey | None:
    """Return the agent's key whose public half is this file, or the one beside it: it needs no passphrase."""
    for public in (Path(f"{path}.pub"), path):
        try:
            public_half = paramiko.pkey.PublicBlob.from_string(public.read_text("utf-8")).key_blob
        except (OSError, ValueError):
            continue
        for key in agent:
            if key.asbytes() == public_half:
                return key
    return None
