"""Private keys as files and in an ssh-agent: what is there, and how it is read."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import paramiko

from uploader.errors import ConfigurationError


def blob(key: paramiko.PKey) -> bytes:
    return key.public_blob.key_blob if key.public_blob is not None else key.asbytes()


def read_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Loads a private key. Raises PasswordRequiredException when the passphrase is missing or wrong."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(str(path), password=passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError) as error:
            last: Exception = error
        except OSError as error:
            raise ConfigurationError(
                f"the key file {path} cannot be read: {error.strerror}",
                remedy="Make it readable for you alone (chmod 600), or name another by --identity-file.",
            ) from error
    if passphrase is not None:
        raise paramiko.PasswordRequiredException(str(last))
    raise ConfigurationError(
        f"{path} is not a private key that can be used: {last}",
        remedy="Ed25519, ECDSA and RSA keys in OpenSSH or PEM form are read; PuTTY's .ppk must be exported first.",
    )


def is_file(path: Path) -> bool:
    """Whether there is a file to open; one in a folder that we may not enter is none for us."""
    try:
        return path.is_file()
    except OSError:
        return False


def agent_listens() -> bool:
    """Whether somebody is behind $SSH_AUTH_SOCK: paramiko leaves a socket open when nobody is."""
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
    """The agent's key of which this file, or the one beside it, is the public half: it needs no passphrase."""
    for public in (Path(f"{path}.pub"), path):
        try:
            public_half = paramiko.pkey.PublicBlob.from_string(public.read_text("utf-8")).key_blob
        except (OSError, ValueError):
            continue
        for key in agent:
            if key.asbytes() == public_half:
                return key
    return None
