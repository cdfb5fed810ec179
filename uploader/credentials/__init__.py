"""Where secrets come from and are kept: the keyring, the environment, a person at a prompt."""

from uploader.credentials.answers import Asker, PasswordOrigin, TargetSecrets
from uploader.credentials.tokens import VARIABLES, Tokens, checked, token_account
from uploader.credentials.vault import Vault, passphrase_account, password_account, webui_account
from uploader.credentials.webui import VARIABLE as WEBUI_VARIABLE
from uploader.credentials.webui import find_sign_in, keep_sign_in

__all__ = [
    "VARIABLES",
    "WEBUI_VARIABLE",
    "Asker",
    "PasswordOrigin",
    "TargetSecrets",
    "Tokens",
    "Vault",
    "checked",
    "find_sign_in",
    "keep_sign_in",
    "passphrase_account",
    "password_account",
    "token_account",
    "webui_account",
]
