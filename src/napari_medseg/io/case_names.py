"""What the names of two folders' files have in common, where they are not the same."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path

from napari_medseg.errors import DataError

END = re.compile(r"(?<=.)(?=[_\-. ])")
"""Where the end of a name may begin."""
CHANNEL = re.compile(r"_\d{4}")
"""nnU-Net's number of a channel: the one end without a letter that is no name of a case."""
FEWEST = 8
"""An end that fewer than one name in so many has is none."""


def same_names(
    images: dict[str, Path], labels: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, Path], tuple[str, str]]:
    """Return two folders' files by the name of their case, and the ends that were left out of the names.

    Where no name is in both folders, all names of one may have an end that those of the other lack, or other ends, such
    as ``case_0000`` and ``case``, or ``eye_7`` and ``eye_7_mask``.

    Parameters
    ----------
    images, labels : dict of str to Path
        By name.

    Returns
    -------
    images, labels : dict of str to Path
        By the name of the case; as they were given if there are no such ends.
    ends : tuple of str
        Of the images' and the labels' names.

    Raises
    ------
    DataError
        If several ends of the images fit, as where each channel is a file of its own.

    Examples
    --------
    >>> one, other = Path("eye_7.png"), Path("eye_7_mask.png")
    >>> same_names({"eye_7": one}, {"eye_7_mask": other})[2]
    ('', '_mask')
    """
    if images.keys() & labels.keys():
        return images, labels, ("", "")
    ours, theirs = _by_end(images), _by_end(labels)
    fitting = [(len(ours[first].keys() & theirs[second].keys()), first, second) for first in ours for second in theirs]
    many, first, second = max(fitting, key=lambda fit: (fit[0], -len(fit[1]) - len(fit[2])), default=(0, "", ""))
    if not many:
        return images, labels, ("", "")
    others = [end for count, end, of in fitting if count == many and of == second and end != first]
    if others:
        raise DataError(
            f"There are several images for each label map: their names end in {', '.join(sorted([first, *others]))}.",
            "Keep one of them in the folder, or join the channels of each case in one file with four axes.",
        )
    return ours[first], theirs[second], (first, second)


def without_ends(names: Iterable[str], known: Container[str], ends: tuple[str, str]) -> tuple[str, ...]:
    """Return names of files as names of cases, each once.

    Parameters
    ----------
    names : iterable of str
        Of files or of cases.
    known : container of str
        The cases.
    ends : tuple of str
        From `same_names`.

    Examples
    --------
    >>> without_ends(["eye_7_mask", "eye_7", "eye_8"], {"eye_7", "eye_8"}, ("", "_mask"))
    ('eye_7', 'eye_8')
    """
    forms = ((name, *(name.removesuffix(end) for end in ends)) for name in names)
    return tuple(dict.fromkeys(next((form for form in each if form in known), each[0]) for each in forms))


def _by_end(names: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Return the files by end and by what comes before it, for each end that many names have."""
    found: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for name, path in names.items():
        found[""][name] = path
        for place in END.finditer(name):
            end = name[place.start() :]
            if any(letter.isalpha() for letter in end) or CHANNEL.fullmatch(end):
                found[end][name[: place.start()]] = path
    least = min(2, len(names))
    return {end: files for end, files in found.items() if len(files) >= max(least, len(names) / FEWEST)}
