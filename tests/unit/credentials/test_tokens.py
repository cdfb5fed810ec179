"""Where a source's token is found, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.credentials.test_target_secrets import HangingKeyring, MemoryKeyring, Use, memory, use
from uploader.artifact import Service
from uploader.credentials import Keyring, Tokens, checked, token_account
from uploader.errors import CredentialsRefused
from uploader.secret import Secret

__all__ = ["memory", "use"]

C, H = Service.CIVITAI, Service.HUGGINGFACE


def found(service: Service, **environ: str) -> tuple[str, bool] | None:
    token = Tokens(Keyring(), environ).get(service)
    return None if token is None else (token.secret.reveal(), token.explicit)


def test_token_of_the_environment_precedes_the_keyring(memory: MemoryKeyring, tmp_path: Path) -> None:
    memory.entries["uploader", "source:civitai"] = "kept"
    assert found(C, HOME=str(tmp_path)) == ("kept", False)
    assert found(C, HOME=str(tmp_path), CIVITAI_TOKEN=" given\n") == ("given", True)
    assert found(C, HOME=str(tmp_path), CIVITAI_TOKEN="  ") == ("kept", False)
    assert found(H, HOME=str(tmp_path)) is None


@pytest.mark.parametrize(
    ("path", "environ"),
    [
        (".cache/huggingface/token", {}),
        ("cache/huggingface/token", {"XDG_CACHE_HOME": "{home}/cache"}),
        ("hf/token", {"HF_HOME": "{home}/hf", "XDG_CACHE_HOME": "{home}/cache"}),
        ("hf/token", {"HF_HOME": "~/hf"}),
        ("my-token", {"HF_TOKEN_PATH": "{home}/my-token", "HF_HOME": "{home}/hf"}),
    ],
)
def test_token_file_of_hugging_face_is_found(
    memory: MemoryKeyring, tmp_path: Path, path: str, environ: dict[str, str]
) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("hf_saved\n")
    there = {name: value.format(home=tmp_path) for name, value in environ.items()}
    assert found(H, HOME=str(tmp_path), **there) == ("hf_saved", False)
    memory.entries["uploader", token_account(H)] = "hf_kept"
    assert found(H, HOME=str(tmp_path), **there) == ("hf_kept", False)
    assert found(H, HOME=str(tmp_path), HF_TOKEN="hf_given", **there) == ("hf_given", True)
    assert found(C, HOME=str(tmp_path), **there) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", None])
def test_token_file_without_a_token_is_none(memory: MemoryKeyring, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    path.mkdir() if content is None else path.write_bytes(content)
    assert found(H, HOME=str(tmp_path), HF_TOKEN_PATH=str(path)) is None


def test_token_with_a_hanging_keyring_comes_from_elsewhere(use: Use, tmp_path: Path) -> None:
    hanging = HangingKeyring()
    use(hanging)
    try:
        (tmp_path / "token").write_text("hf_saved")
        tokens = Tokens(Keyring(limit=0.1), {"HOME": str(tmp_path), "HF_TOKEN_PATH": str(tmp_path / "token")})
        token = tokens.get(H)
        assert token is not None
        assert token.secret.reveal() == "hf_saved"
        assert tokens.get(C) is None
    finally:
        hanging.released.set()


def test_token_is_looked_up_once(memory: MemoryKeyring, tmp_path: Path) -> None:
    tokens = Tokens(Keyring(), {"HOME": str(tmp_path)})
    for _ in range(3):
        assert tokens.get(C) is None
    assert memory.lookups == 1
    assert tokens.get(Service.GITHUB) is None
    assert memory.lookups == 1


@pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "ключ", "a\x00b", "x" * 5000])
def test_token_that_cannot_be_sent_is_refused_unquoted(text: str) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        checked(Secret(text), "$CIVITAI_TOKEN")
    told = f"{caught.value.message} {caught.value.remedy}"
    assert "$CIVITAI_TOKEN" in told
    assert not text or text not in told
