"""Real images that come inside other packages; nothing is downloaded."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io import read
from napari_medseg.volume import LabelClass, Volume

TISSUES = (LabelClass(value=1, name="grey matter"), LabelClass(value=2, name="white matter", color="#ffe119"))
"""Classes of `mni152_tissues`."""

MAJORITY = 0.5
"""Share of a tissue from which on a voxel counts as that tissue."""

_MNI152 = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def mni152() -> list[Volume]:
    """Return the MNI152 average brain: T1 image, grey-matter map and white-matter map.

    Returns
    -------
    list of Volume
        Three (189, 233, 197) images of 1 mm voxels; the maps hold the share of their tissue, in [0, 255].

    Raises
    ------
    ReadError
        If the package that brings the files is not installed.
    """
    maps = [
        replace(_one(mni152_path(part)), name=name, window=(0.0, 255.0))
        for part, name in (("gm", "MNI152 grey matter"), ("wm", "MNI152 white matter"))
    ]
    return [mni152_t1(), *maps]


def mni152_t1() -> Volume:
    """Return the MNI152 average T1 image of the brain."""
    return replace(_one(mni152_path("t1")), name="MNI152 T1", modality="MR", window=(0.0, 255.0))


def mni152_tissues() -> Volume:
    """Return the MNI152 tissue of every voxel, from the atlas's own maps.

    A voxel is grey or white matter if that map gives it at least one half, and the other map no more; all else
    (fluid, skull, air, and voxels that no tissue has the majority of) is background.

    Returns
    -------
    Volume
        Label map of `TISSUES` on the grid of `mni152_t1`.
    """
    _t1, grey, white = mni152()
    shares = np.stack([np.asarray(grey.data), np.asarray(white.data)]) / 255
    labels = np.where(shares.max(axis=0) >= MAJORITY, 1 + shares.argmax(axis=0), 0).astype(np.uint8)
    return Volume(labels, grey.geometry, name="MNI152 tissues", kind="labels", classes=TISSUES)


def mni152_path(part: str) -> Path:
    """Return the NIfTI file of a part of MNI152.

    Parameters
    ----------
    part : {"t1", "gm", "wm"}
        Image, grey-matter map or white-matter map.

    Raises
    ------
    ReadError
        If the package that brings it is not installed.
    """
    folder = _package_folder("nilearn")
    path = None if folder is None else folder / "datasets" / "data" / _MNI152.format(part)
    if path is None or not path.is_file():
        raise ReadError(
            "The MNI152 brain comes with the package nilearn, which is not installed.",
            "Run `pip install 'napari-medseg[sample]'`.",
        )
    return path


def ct_slice() -> list[Volume]:
    """Return one 128 x 128 slice of a CT, from the test files of pydicom.

    Raises
    ------
    ReadError
        If this installation of pydicom has no test files.
    """
    folder = _package_folder("pydicom")
    path = None if folder is None else folder / "data" / "test_files" / "CT_small.dcm"
    if path is None or not path.is_file():
        raise ReadError(
            "This installation of pydicom has no test files.", "Run `pip install --force-reinstall pydicom`."
        )
    return read(path)


def _one(path: Path) -> Volume:
    return read(path)[0]


def _package_folder(name: str) -> Path | None:
    """Return where a package lies, without importing it: nilearn brings scikit-learn along."""
    found = find_spec(name)
    locations = None if found is None else found.submodule_search_locations
    return Path(locations[0]) if locations else None
