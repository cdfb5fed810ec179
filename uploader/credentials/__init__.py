"""Where secrets come from and are kept: the keyring, the environment, a person at a prompt."""

from uploader.credentials.answers import Asker, PasswordOrigin, TargetSecrets
from uploader.credentials.tokens import VARIABLES, Tokens, checked, token_account
from uploader.credentials.vault import Vault, passphrase_account, password_account

__all__ = [
    "VARIABLES",
    "Asker",
    "PasswordOrigin",
    "TargetSecrets",
    "Tokens",
    "Vault",
    "checked",
    "passphrase_account",
    "password_account",
    "token_account",
]
