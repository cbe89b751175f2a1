"""The user's own collection of models."""

import logging
import os
import re
import shutil
from pathlib import Path

from platformdirs import user_data_path

from napari_medseg.errors import BundleError, WriteError
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.files import METADATA

HOME_VARIABLE = "NAPARI_MEDSEG_HOME"
log = logging.getLogger(__name__)


def library_folder() -> Path:
    """Return the folder that holds the user's models, one folder each.

    It is below the system's place for application data, or below ``NAPARI_MEDSEG_HOME``.
    """
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home).expanduser() if home else user_data_path("napari-medseg", appauthor=False)) / "models"


def library() -> list[Bundle]:
    """Return the user's models, by name; folders that are no sound model are left out, with a line in the log."""
    return bundles_in(library_folder())


def bundles_in(parent: Path) -> list[Bundle]:
    """Return the models in a folder of models, as `library` does."""
    bundles = []
    for metadata in sorted(parent.glob(f"*/{METADATA.as_posix()}")):
        folder = metadata.parents[1]
        if folder.name.startswith("."):
            continue
        try:
            bundles.append(Bundle.load(folder))
        except BundleError as error:
            log.warning("left out of the model list: %s", error)
    return sorted(bundles, key=lambda bundle: (bundle.spec.name.casefold(), str(bundle.path)))


def find(name: str) -> Bundle:
    """Return one of the user's models, by its name or that of its folder.

    Raises
    ------
    BundleError
        If there is none, or there are several.
    """
    own = library()
    found = [b for b in own if b.path is not None and b.path.name == name] or [b for b in own if b.spec.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        folders = ", ".join(bundle.path.name for bundle in found if bundle.path is not None)
        raise BundleError(f"{len(found)} of your models are named {name!r}.", f"Name the folder: {folders}.")
    names = ", ".join(bundle.spec.name for bundle in own) or "none yet"
    raise BundleError(f"None of your models is named {name!r}.", f"You have: {names}.")


def remove(name: str) -> Path:
    """Delete one of the user's models from the collection, and return where it was.

    Parameters
    ----------
    name : str
        Of the model; or of its folder, which need not hold a sound model.

    Raises
    ------
    BundleError
        If there is none of that name, or there are several.
    WriteError
        If the folder cannot be deleted.
    """
    folder = library_folder() / name
    if Path(name).name != name or not (folder / METADATA).is_file():
        found = find(name).path
        assert found is not None
        folder = found
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise WriteError(f"{folder} cannot be deleted: {error.strerror}.", "Close what uses it.") from error
    return folder


def folder_of(name: str) -> str:
    """Return the name of a model's folder."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "model"


def install(bundle: Bundle) -> Bundle:
    """Copy a model into the user's collection, and return the copy.

    A model of the same name there keeps its folder if it has the same hash, and is left beside the new one otherwise.
    """
    stem = folder_of(bundle.spec.name)
    folder, count = library_folder() / stem, 1
    while folder.exists():
        try:
            present = Bundle.load(folder)
        except BundleError:
            present = None
        if present is not None and present.hash == bundle.hash:
            return present
        count += 1
        folder = library_folder() / f"{stem}-{count}"
    return bundle.save(folder)
