"""Earlier versions of a model: kept when a new one takes its place, and put back on request."""

import shutil
from pathlib import Path

from napari_medseg.errors import BundleError, WriteError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.library import find, folder_of, library_folder

KEPT = 5
"""Earlier versions of one model; older ones are deleted."""
PLACE = ".versions"
"""Folder beside the models that holds them."""


def replace(bundle: Bundle, place: Path | None = None) -> Bundle:
    """Put a model in its place; one that is there becomes its earlier version.

    Parameters
    ----------
    bundle : Bundle
        The new model.
    place : Path, optional
        Folder of the model itself; the one of its name in the user's library if None.

    Returns
    -------
    Bundle
        In its place.

    Raises
    ------
    WriteError
        If it cannot be written; the one before stays.
    """
    place = place or place_of(bundle.spec.name)
    if not place.is_dir():
        return bundle.save(place)
    if Bundle.load(place).hash == bundle.hash:
        return Bundle.load(place)
    # Complete before anything moves.
    coming = bundle.save(place.with_name(f".{place.name}.new"))
    known = versions(place)
    _move(place, _of(place) / f"{_number(known[0]) + 1 if known else 0:06}")
    assert coming.path is not None
    _move(coming.path, place)
    for old in versions(place)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return Bundle.load(place)


def place_of(name: str) -> Path:
    """Return the folder that a model of a name has in the user's library."""
    return library_folder() / folder_of(name)


def versions(place: Path) -> list[Path]:
    """Return the folders of a model's earlier versions, newest first.

    Parameters
    ----------
    place : Path
        Folder of the model itself.
    """
    return sorted((path for path in _of(place).glob("*") if path.name.lstrip("-").isdigit()), key=_number, reverse=True)


def rollback(place: Path) -> Bundle:
    """Put the version before in a model's place; the model itself becomes its oldest version, so nothing is lost.

    Parameters
    ----------
    place : Path
        Folder of the model.

    Raises
    ------
    BundleError
        If there is no version before.
    WriteError
        If the folders cannot be moved.
    """
    known = versions(place)
    if not known:
        raise BundleError(f"There is no version of {place.name} before this one.", "Keep it as it is.")
    Bundle.load(known[0])
    _move(place, _of(place) / f"{_number(known[-1]) - 1:06}")
    _move(known[0], place)
    return Bundle.load(place)


def rollback_named(name: str) -> Bundle:
    """Put the version before of one of the user's models in its place; see `rollback`."""
    place = find(name).path
    assert place is not None
    return rollback(place)


def _of(place: Path) -> Path:
    return place.parent / PLACE / place.name


def _number(version: Path) -> int:
    return int(version.name)


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    except OSError as error:
        raise WriteError(f"{source} could not be moved: {error.strerror}.", "Close what uses it.") from error
