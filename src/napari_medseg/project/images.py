"""The images of a project: copied into it, or left where they are and known by their voxels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_medseg.errors import DataError
from napari_medseg.io import read, write
from napari_medseg.project.content import FILE, ImageReference
from napari_medseg.project.fingerprint import fingerprint
from napari_medseg.volume import Volume

NAMELESS = "image"
"""Name of all copies: their own may be that of a file, and so of a patient."""
State = Literal["copied", "referenced", "missing", "none"]


def refer(folder: Path, image: Volume, copy: bool = False) -> ImageReference:
    """Return a reference to an image.

    Parameters
    ----------
    folder : Path
        The project's.
    image : Volume
        As it was read with PET in SUV.
    copy : bool
        Whether to copy it into the project; an image that was read from no file, or computed, always is.

    Raises
    ------
    WriteError
        If it cannot be copied.
    """
    known = fingerprint(image)
    if not copy and image.path is not None and not image.derivation:
        return ImageReference(path=str(image.path.resolve()), series=image.series_id or "", fingerprint=known)
    path = folder / "images" / f"{known}.medvol"
    if not path.exists():
        warnings = tuple(warning.replace(image.name, NAMELESS) for warning in image.warnings)
        own = replace(image, name=NAMELESS, warnings=warnings)
        path.parent.mkdir(exist_ok=True)
        write(own, path)
    return ImageReference(path=path.relative_to(folder).as_posix(), fingerprint=known)


def state(folder: Path, references: Sequence[ImageReference]) -> State:
    """Return what there is of the images of a case, without reading them."""
    if not references:
        return "none"
    paths = [folder / image.path for image in references]
    if not all(path.exists() for path in paths):
        return "missing"
    return "copied" if all(path.is_relative_to(folder) for path in paths) else "referenced"


def load(folder: Path, image: ImageReference, case: str) -> Volume:
    """Return the image that a reference means, and no other.

    Parameters
    ----------
    folder : Path
        The project's.
    image : ImageReference
        From `refer`.
    case : str
        Name of the case, for messages.

    Raises
    ------
    DataError
        If it is gone, or another one is in its place.
    ReadError
        If its file cannot be read.
    """
    path = folder / image.path
    if not path.exists():
        raise DataError(
            f"The image of {case} is not where it was.", f"Put it back, or say where it is now; {FILE} has its path."
        )
    for volume in read(path, series=image.series or None, suv=True):
        if fingerprint(volume) == image.fingerprint:
            return volume
    raise DataError(
        f"The image of {case} has changed since it was added: other values, or another place in space.",
        "Restore the file as it was, or add the changed image as a new case.",
    )


def relocated(folder: Path, image: ImageReference, path: Path, case: str) -> ImageReference:
    """Return a reference to the same image at another path; `DataError` if another image is there."""
    anywhere = image.model_copy(update={"path": str(path.resolve()), "series": ""})
    return anywhere.model_copy(update={"series": load(folder, anywhere, case).series_id or ""})
