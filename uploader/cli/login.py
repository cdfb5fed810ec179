"""`uploader login`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from uploader import api
from uploader.cli.completion import login_names, webui_ids
from uploader.cli.invocation import Invocation
from uploader.cli.options import as_json, verbose, whole, with_invocation
from uploader.cli.terminal import write_document
from uploader.errors import CredentialsMissing

if TYPE_CHECKING:
    from uploader.secret import Secret

_SOURCES = ("civitai", "huggingface")


@click.command(short_help="Save an account, so that push can use it.")
@click.argument("provider", shell_complete=login_names)
@click.option("--name", help="What to call it; the provider's id unless given.")
@click.option("--host", help="The server's name or address.")
@click.option("--port", type=whole(1, 65535), metavar="PORT", help="The port of SSH.")
@click.option("--user", help="The user name on the server.")
@click.option("--root", metavar="DIR", help="The WebUI's folder: relative to where the login starts, or absolute.")
@click.option("--webui", metavar="ID", shell_complete=webui_ids, help="Which WebUI it is: a1111, comfyui, forge ...")
@click.option("--webui-url", metavar="URL", help="The WebUI's address, so that push can tell it of new models.")
@click.option(
    "--webui-tunnel",
    type=whole(1, 65535),
    metavar="PORT",
    help="The same, through the SSH connection: the WebUI's port on the server itself.",
)
@click.option(
    "--webui-ca",
    metavar="FILE",
    help="The certificate that the WebUI may show, or that signed it; or SHA256:... of it.",
)
@click.option("--identity-file", metavar="FILE", type=click.Path(), help="A private key to sign in with.")
@click.option("--jump", metavar="USER@HOST:PORT", help="A server to go through.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, one line.")
@click.option("--token-stdin", is_flag=True, help="For civitai and huggingface: read the token from stdin, one line.")
@click.option("--host-key", metavar="SHA256:...", help="The one host key that the server may show.")
@click.option("--accept-new-host-key", is_flag=True, help="Trust a host key that is new, unseen.")
@click.option("--no-check", is_flag=True, help="Save it without connecting.")
@as_json
@verbose
@with_invocation
def login(
    invocation: Invocation, /, provider: str, password_stdin: bool, token_stdin: bool, no_check: bool, **options: Any
) -> int:
    """Save an account at a provider as a target, or the token of a source of models (civitai, huggingface).

    What no flag gives is asked for on a terminal. The server is looked at and shown before anything is saved; the
    password goes into the system's keyring. So does the WebUI's sign-in, if it has one: user:password or a token, asked
    for, or taken from $UPLOADER_WEBUI_AUTH. A name that exists is updated. `uploader providers` lists the PROVIDERs.
    """
    if provider in _SOURCES:
        _refuse_others(provider, {**options, "password_stdin": password_stdin})
        return _login_source(invocation, provider, token_stdin=token_stdin, check=not no_check)
    if token_stdin:
        raise click.UsageError(f"--token-stdin is for {' and '.join(_SOURCES)}; a server takes --password-stdin.")
    from uploader import documents
    from uploader.cli.show.login import print_login
    from uploader.cli.terminal import print_note

    request = api.LoginRequest(
        provider, **options, password=line_of_stdin("password") if password_stdin else None, check=not no_check
    )
    with invocation.session() as session:
        result = api.login(session, request)
    if invocation.json:
        write_document(documents.of_login(result))
    else:
        print_login(result)
    if result.keyring_fault is not None:
        print_note(f"note: nothing more was kept in the keyring: {result.keyring_fault.message}")
        if result.keyring_fault.remedy:
            print_note(f"  → {result.keyring_fault.remedy}")
    return 0


def _login_source(invocation: Invocation, source: str, *, token_stdin: bool, check: bool) -> int:
    from uploader import documents
    from uploader.artifact import Service
    from uploader.cli.show.login import print_token
    from uploader.cli.terminal import print_note

    request = api.TokenRequest(Service(source), line_of_stdin("token") if token_stdin else None, check)
    with invocation.session() as session:
        result = api.login_source(session, request)
    write_document(documents.of_token(result)) if invocation.json else print_token(result)
    if result.overruled:
        print_note("note: the environment holds a token too, and that one is used while it does")
    return 0


def _refuse_others(source: str, options: dict[str, Any]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(f"{', '.join(given)}: not for {source}, which takes a token and nothing else.")


def line_of_stdin(what: str) -> Secret:
    """Return stdin's first line without its end; `what` is `password` or `token`. Raises CredentialsMissing when there
    is none."""
    from uploader.secret import Secret

    if sys.stdin.isatty():
        raise click.UsageError(f"--{what}-stdin takes the {what} through a pipe; leave it out to be asked.")
    line = sys.stdin.buffer.readline()
    try:
        secret = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialsMissing(
            f"the {what} on stdin is not text in UTF-8", remedy="Send it as UTF-8, in one line."
        ) from None
    if not secret:
        raise CredentialsMissing(f"there is no {what} on stdin", remedy="Send it in one line, as a pipe does.")
    return Secret(secret)
