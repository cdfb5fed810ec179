"""Lines through a server to a port that it reaches: SSH's direct-tcpip channels (RFC 4254, section 7.2)."""

from __future__ import annotations

import paramiko

from uploader.errors import NetworkError, RemoteRefused
from uploader.remote.sftp.errors import mapped

_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254, section 5.1)."""


def open_tunnel(transport: paramiko.Transport, host: str, port: int, seconds: float, where: str) -> paramiko.Channel:
    """Open a channel to a port. Raises RemoteRefused when the server forwards nothing or no program listens there."""
    with mapped(where):
        try:
            return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds)
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise RemoteRefused(
                    f"{where} does not let connections through to its ports",
                    remedy="Give the WebUI's own address by --webui-url instead; on a server of yours, allow "
                    "AllowTcpForwarding in sshd_config.",
                ) from error
            raise RemoteRefused(
                f"nothing listens at port {port} of {where}",
                remedy="Is the WebUI running, and on this port? It may still be starting.",
            ) from error
        except paramiko.SSHException as error:
            if transport.is_active():  # paramiko's word for a time that is over
                raise NetworkError(f"{where} did not open a line to port {port} in time") from error
            raise
