"""The targets that the user saved, and addresses that stand for one without saving it."""

from uploader.targets.address import address, is_address, parse_address
from uploader.targets.store import Targets, state_folder
from uploader.targets.values import check_name

__all__ = ["Targets", "address", "check_name", "is_address", "parse_address", "state_folder"]
