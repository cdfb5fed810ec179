"""The targets that the user saved, and addresses that stand for one without saving it."""

from uploader.state.folder import state_folder
from uploader.state.targets.address import address, is_address, parse_address
from uploader.state.targets.store import Targets
from uploader.state.targets.values import check_name, check_values, normal_root

__all__ = [
    "Targets",
    "address",
    "check_name",
    "check_values",
    "is_address",
    "normal_root",
    "parse_address",
    "state_folder",
]
