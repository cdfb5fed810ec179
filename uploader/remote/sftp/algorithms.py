"""What a server offers and we do not know: who lacks what, and the way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_KINDS = {
    "kex": ("kex_algo_list", "key exchanges", "KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256"),
    "server_key": ("server_key_algo_list", "host keys", "HostKeyAlgorithms ssh-ed25519,rsa-sha2-512"),
    "encrypt": ("client_encrypt_algo_list", "ciphers", "Ciphers aes128-gcm@openssh.com,aes256-ctr"),
    "mac": ("client_mac_algo_list", "MACs", "MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-256"),
}
_NO_ALGORITHMS = ("ext-info-", "kex-strict-")
_UNSAFE = frozenset(
    (
        *("diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1"),
        *("ssh-dss", "ssh-rsa", "3des-cbc", "blowfish-cbc", "cast128-cbc", "arcfour", "arcfour128", "arcfour256"),
        *("aes128-cbc", "aes192-cbc", "aes256-cbc", "rijndael-cbc@lysator.liu.se"),
        *("hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96", "hmac-ripemd160"),
    )
)


@dataclass(frozen=True)
class Lack:
    """Why a server and we cannot agree, and what to do."""

    text: str
    remedy: str


def lacking(offer: Mapping[str, Sequence[str]], known: Mapping[str, Sequence[str]]) -> Lack | None:
    """Return the first kind of algorithm in a server's offer that has none of the known ones; None when each has."""
    for kind, (field, word, line) in _KINDS.items():
        offered = [name for name in offer.get(field, ()) if not name.startswith(_NO_ALGORITHMS)]
        if not offered or set(offered) & set(known[kind]):
            continue
        names = ", ".join(offered)
        if _UNSAFE.issuperset(offered):
            return Lack(
                f"offers only {word} that are not safe any more: {names}",
                "Ask the provider for an image with a current OpenSSH.",
            )
        return Lack(
            f"offers only {word} that this program does not know: {names}",
            f"Let the server offer more: `{line}` in its sshd_config, and restart sshd. A ProxyCommand does not "
            "help, as this program speaks to the server through it.",
        )
    return None
