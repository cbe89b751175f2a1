"""What the values in label files mean, as far as the command line can tell."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from napari_medseg.cli.console import say
from napari_medseg.cli.settings import parse
from napari_medseg.errors import ConfigError
from napari_medseg.io import read
from napari_medseg.io.named import image_files

MANY_CLASSES = 20
"""More values than this may be numbers of objects."""

LOOK_AT = 20
"""Label files that are looked at."""


def class_names(texts: Sequence[str]) -> dict[int, str]:
    """Return the names given as ``value=name``.

    Raises
    ------
    ConfigError
        If a text is not of this form.
    """
    names = parse(texts, as_text=True)
    wrong = next((value for value in names if not value.isdigit()), None)
    if wrong is not None:
        raise ConfigError(f"{wrong!r} is not the value of a class.", "Write it like 1=liver.")
    return {int(value): name for value, name in names.items()}


def scheme_of(scheme: Literal["auto", "dense", "foreground"], folder: Path) -> Literal["dense", "foreground"]:
    """Return the scheme of reference label maps, looking at some of them where the user did not say."""
    if scheme != "auto":
        return scheme
    if not folder.is_dir():
        return "dense"
    values = (np.unique(np.asarray(read(path)[0].data)) for path in islice(image_files(folder), LOOK_AT))
    if count_objects([set(found.tolist()) for found in values]):
        say("The references number their objects, so all nonzero values count as one class; --scheme dense keeps them.")
        return "foreground"
    return "dense"


def count_objects(values: Iterable[set[float]]) -> bool:
    """Return whether label maps number their objects, instead of holding classes.

    Parameters
    ----------
    values : iterable of set
        The values that occur in each map. Objects are numbered from 1 without gaps (but for one in twenty, where one
        hides another), differently many in each map, and more than `MANY_CLASSES` in some.

    Examples
    --------
    >>> count_objects([set(range(30)), set(range(12)), {0, 1}])
    True
    >>> count_objects([{0, 1, 2}, {0, 1}])
    False
    >>> count_objects([set(range(105)), set(range(20, 80)), set(range(105))])
    False
    """
    numbers = [found - {0} for found in values]
    largest = [max(found, default=0) for found in numbers]
    if len(numbers) < 2 or max(largest) <= MANY_CLASSES or len(set(largest)) == 1:
        return False
    return all(len(found) >= 0.95 * top for found, top in zip(numbers, largest, strict=True))
