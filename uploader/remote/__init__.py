"""The server as we see it: what a connection owes (interface), SFTP (sftp), and the reference in memory."""
