"""A server reached by SSH and SFTP: the only room where paramiko is spoken, beside the demo's own server."""

import logging

from uploader.remote.sftp.connect import SftpConnector, SshEnvironment
from uploader.remote.sftp.connection import SftpConnection
from uploader.remote.sftp.known_hosts import KnownHosts
from uploader.remote.sftp.ssh_config import Address

__all__ = ["Address", "KnownHosts", "SftpConnection", "SftpConnector", "SshEnvironment"]

# paramiko logs every lost line as an error, with a traceback; without a handler that would end on the user's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
