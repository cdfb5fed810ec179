"""Where secrets come from and are kept: the keyring, the environment, a person at a prompt."""

from uploader.credentials.answers import Asker, PasswordOrigin, TargetSecrets
from uploader.credentials.vault import Vault, passphrase_account, password_account

__all__ = ["Asker", "PasswordOrigin", "TargetSecrets", "Vault", "passphrase_account", "password_account"]
