"""Private keys are read in every form that ssh-keygen and openssl write."""

from __future__ import annotations

from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from uploader.errors import ConfigurationError
from uploader.remote.sftp.private_keys import read_key

KEYS: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
FORMS = {
    "openssh": serialization.PrivateFormat.OpenSSH,
    "pkcs8": serialization.PrivateFormat.PKCS8,
}


def written(folder: Path, kind: str, form: str, passphrase: str | None = None, ends: str = "\n") -> Path:
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    text = KEYS[kind].private_bytes(serialization.Encoding.PEM, FORMS[form], lock).decode()
    path = folder / "key"
    path.write_bytes(text.replace("\n", ends).encode())
    return path


def public(kind: str) -> bytes:
    line = KEYS[kind].public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return paramiko.pkey.PublicBlob.from_string(line.decode()).key_blob


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_read_key_any_form_and_line_end_is_read(tmp_path: Path, kind: str, form: str, ends: str) -> None:
    assert read_key(written(tmp_path, kind, form, ends=ends), None).asbytes() == public(kind)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_read_key_locked_key_needs_its_passphrase(tmp_path: Path, kind: str, form: str, ends: str) -> None:
    path = written(tmp_path, kind, form, "open sesame", ends)
    for passphrase in (None, "wrong"):
        with pytest.raises(paramiko.PasswordRequiredException):
            read_key(path, passphrase)
    assert read_key(path, "open sesame").asbytes() == public(kind)


def test_read_key_other_kind_of_key_is_refused(tmp_path: Path) -> None:
    other = x25519.X25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key").write_bytes(other.private_bytes(*form))
    with pytest.raises(ConfigurationError, match="not a private key that can be used"):
        read_key(tmp_path / "key", None)


def test_read_key_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_key(tmp_path / "none", None)
