"""The verb webui: what a target's WebUI lists and how it is set."""

from __future__ import annotations

from uploader.session.session import Session
from uploader.webui.connect import reached, require_address
from uploader.webui.inspect import _TIMES, WebUIFacts, facts_of


def webui_facts(to: str | None, session: Session) -> WebUIFacts:
    """Ask a target's WebUI and look at its disk, changing nothing.

    Raises UsageError where its address is not known, and what connecting, WebUIClient and recognise raise.
    """
    target = session.choose_target(to)
    connector, _ = session.connector(target)
    require_address(target)  # before anything is dialled
    connection = connector.connect()
    try:
        with reached(target, session, connection, seconds=_TIMES * session.webui_seconds) as (_, member):
            return facts_of(member, target, session, connection)
    finally:
        connection.close()
