"""The whole job against a server and a model of its own; needs no account."""

from uploader.demo.job import run

__all__ = ["run"]
