"""The table of the profile: which action each element is due, taken from a library that follows the standard."""

from enum import Enum
from functools import cache

EDITION = "2026c"
"""Of the standard."""


class Action(Enum):
    """What is done to an element, by its code in table E.1-1.

    Where the code leaves a choice that depends on the kind of object, the one that is valid for every kind is taken.
    """

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    MAP_UID = "U"
    KEEP_REFERENCES = "X/Z/U*"
    """A sequence that refers to other instances: kept, and cleaned inside."""


CATEGORIES = {
    "X_TAGS": Action.REMOVE,
    "Z_TAGS": Action.EMPTY,
    "D_TAGS": Action.DUMMY,
    "U_TAGS": Action.MAP_UID,
    "Z_D_TAGS": Action.DUMMY,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.DUMMY,
    "X_Z_D_TAGS": Action.DUMMY,
    "X_Z_U_STAR_TAGS": Action.KEEP_REFERENCES,
}
REPEATING_GROUPS = frozenset((*range(0x5000, 0x5100), *range(0x6000, 0x6100)))
"""Curves and overlays: without the parts that the table removes, the rest of such a group has no meaning."""
COMMAND_AND_DIRECTORY_GROUPS = frozenset((0x0000, 0x0004))
"""Of messages and of DICOMDIR; in no file of an image."""


@cache
def profile() -> dict[int, Action]:
    """Return the action of every single element of the table, by tag."""
    from dicomanonymizer.dicomfields_selector import (  # type: ignore[import-untyped]
        dicom_anonymization_database_selector,
    )

    categories = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    return {
        tag[0] << 16 | tag[1]: action
        for name, action in CATEGORIES.items()
        for tag in categories[name]
        if len(tag) == 2
    }


def action_of(tag: int) -> Action | None:
    """Return what is due to an element; None if the profile keeps it."""
    group = tag >> 16
    if group % 2 or group in REPEATING_GROUPS or group in COMMAND_AND_DIRECTORY_GROUPS or not tag & 0xFFFF:
        return Action.REMOVE
    return profile().get(tag)
