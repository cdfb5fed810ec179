"""A report for others names no person and no machine."""

from __future__ import annotations

import pytest

from uploader.commands.doctor.diagnosis import Check, Diagnosis
from uploader.commands.doctor.mask import masked


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("203.0.113.7, 2001:db8::17", "ADDRESS, ADDRESS"),
        ("fe80::1%eth0 does not answer", "ADDRESS does not answer"),
        ("port 10341 answers in 12 ms", "port PORT answers in 12 ms"),
        ("gpu.example.com is not known", "HOST is not known"),
        ("GPU.Example.com is not known", "HOST is not known"),
        ("10341 files, at host:10341", "10341 files, at host:PORT"),
        ("it dials bob@jump.example.net first", "it dials USER@HOST first"),
        ("https://x.example.net/a?b=c does not answer", "URL does not answer"),
        ("the ProxyCommand ended. It said: no route to bob", "the ProxyCommand ended. It said: …"),
        ("/home/al ice/.ssh/id is not there", "PATH is not there"),
        ("alice may not write; alice-2 may", "USER may not write; USER-2 may"),
        ("/workspace/webui is not there", "PATH is not there"),
        (r"C:\Users\alice\key cannot be read", "PATH cannot be read"),
        ("~/.ssh/id_ed25519, ~/x", "PATH, PATH"),
        ("ssh-ed25519 SHA256:" + "x" * 43, "ssh-ed25519 KEY"),
        ("12.3 GB of 80.0 GB, at 14:00", "12.3 GB of 80.0 GB, at 14:00"),
        ("OpenSSH_9.2p1, requests of 255 KiB", "OpenSSH_9.2p1, requests of 255 KiB"),
    ],
)
def test_mask_replaces_what_tells_where_or_who(detail: str, shown: str) -> None:
    private = (
        ("gpu.example.com", "HOST"),
        ("alice", "USER"),
        ("10341", "PORT"),
        ("box", "TARGET"),
        ("/home/al ice", "~"),
        (".", "ROOT"),
    )
    (check,) = masked(Diagnosis("box", (Check("port", "ok", detail, detail),), private)).checks
    assert (check.detail, check.remedy) == (shown, shown)
