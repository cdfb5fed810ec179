"""Where secrets come from and are kept: the keyring, the environment, a person at a prompt."""

from uploader.credentials.keyring import Keyring, passphrase_account, password_account, webui_account
from uploader.credentials.target_secrets import PasswordOrigin, Prompter, TargetSecrets
from uploader.credentials.tokens import VARIABLES, Tokens, checked, token_account
from uploader.credentials.webui_sign_in import VARIABLE as WEBUI_VARIABLE
from uploader.credentials.webui_sign_in import find_sign_in, keep_sign_in

__all__ = [
    "VARIABLES",
    "WEBUI_VARIABLE",
    "Keyring",
    "PasswordOrigin",
    "Prompter",
    "TargetSecrets",
    "Tokens",
    "checked",
    "find_sign_in",
    "keep_sign_in",
    "passphrase_account",
    "password_account",
    "token_account",
    "webui_account",
]
