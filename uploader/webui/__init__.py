"""WebUIs: one adapter for each API, and which of them answers at an address.

    with reached(target, session, connection) as (client, member):   # connect.py: tunnel or URL, pin, sign-in
        member.refresh(kind, paths)                                  # the WebUI looks at its folders
        find(member.models(kind), name)                              # does it list the file?
        member.select(model)                                         # push --select

`notify.py` does this after a push. `inspect.py` and `problems.py` compare a WebUI with its disk. A new WebUI is one
file that fulfils `Member`, and one row in MEMBERS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from uploader.errors import WebUIRefused
from uploader.profile import Api
from uploader.webui.a1111 import A1111
from uploader.webui.client import WebUIClient
from uploader.webui.comfyui import ComfyUi
from uploader.webui.interface import Listed, Member, Refreshed, find
from uploader.webui.invokeai import InvokeAi
from uploader.webui.sdnext import SdNext
from uploader.webui.swarmui import SwarmUi

__all__ = ["MEMBERS", "Listed", "Member", "Refreshed", "find", "recognise"]

MEMBERS: Mapping[Api, Callable[[WebUIClient], Member | None]] = {
    Api.SDNEXT: SdNext.find,
    Api.A1111: A1111.find,
    Api.COMFYUI: ComfyUi.find,
    Api.INVOKEAI: InvokeAi.find,
    Api.SWARMUI: SwarmUi.find,
}
"""Each returns its member when that API answers. An unknown WebUI is asked in this order: SD.Next knows A1111's calls,
too.
"""


def recognise(service: WebUIClient, expected: Api | None) -> Member:
    """Return the member that answers; the expected one is asked first.

    Raises WebUIRefused when none does, and what WebUIClient raises.
    """
    order = [api for api in MEMBERS if api is not expected]
    if expected is Api.A1111:  # which cannot be told from an SD.Next by its own calls
        order.remove(Api.SDNEXT)
        order = [Api.SDNEXT, Api.A1111, *order]
    elif expected is not None:
        order.insert(0, expected)
    for api in order:
        member = MEMBERS[api](service)
        if member is not None:
            return member
    raise WebUIRefused(
        f"no WebUI's API answers at {service.host}",
        remedy="Start it with its API on (A1111 and its kin: the flag --api), and check the address.",
    )
