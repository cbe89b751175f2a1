"""The series that a volume was read from, drawn on or made from: its grid and the headers of its files."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.archive import is_archive_of_dicom, unpacked
from napari_medseg.io.dicom.files import Found, find
from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.parser import DicomFile
from napari_medseg.io.dicom.segmentation import is_segmentation
from napari_medseg.io.dicom.series import Stack, stacks_of
from napari_medseg.io.dicom.structures import is_structure_set
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.orientation import as_block, onto_grid
from napari_medseg.volume import Geometry, Volume

NO_SOURCE = "Name the folder of the DICOM series with --reference, or write .nii.gz or .seg.nrrd."


@dataclass(frozen=True, eq=False)
class Source:
    """A DICOM series, laid out in space."""

    stack: Stack

    @property
    def grid(self) -> Geometry | None:
        """Of the array (slice, row, column)."""
        return self.stack.geometry

    @property
    def frames(self) -> tuple[Frame, ...]:
        """One frame per acquired slice, of the first step if there are several."""
        return self.stack.frames[0]

    @cached_property
    def headers(self) -> list[Dataset]:
        """Headers of the files of `frames`, each once, without pixels."""
        files = dict.fromkeys(frame.file for frame in self.frames)
        return [dcmread(file.path, stop_before_pixels=True, force=True) for file in files]

    @cached_property
    def header_of(self) -> dict[DicomFile, Dataset]:
        """Header of each file."""
        return dict(zip(dict.fromkeys(frame.file for frame in self.frames), self.headers, strict=True))

    def frames_near(self, point_lps_mm: NDArray[np.float64], reach_mm: float) -> list[Frame]:
        """Return the frame whose plane is nearest to a point, and all others no further away than `reach_mm`."""
        planes = [(frame, frame.plane) for frame in self.frames if frame.plane is not None]
        away = np.array([abs(float((point_lps_mm - np.array(plane.position)) @ plane.normal)) for _, plane in planes])
        return [planes[index][0] for index in np.flatnonzero(away <= max(reach_mm, float(away.min())))]


@contextmanager
def source_of(volume: Volume, *, same_grid: bool) -> Iterator[Source]:
    """Yield the series that a volume is about; its files are there as long as the context is open.

    Parameters
    ----------
    volume : Volume
        Its `source` names the files.
    same_grid : bool
        Whether the volume must have the voxels of the series.

    Raises
    ------
    WriteError
        If there is no such series, or more than one that could be meant.
    """
    if not volume.source:
        raise WriteError(f"{volume.name} is not known to belong to a DICOM series.", NO_SOURCE)
    with ExitStack() as stack:
        yield _chosen(volume, _stacks(volume.source, stack), same_grid=same_grid)


def _stacks(paths: Iterable[Path], opened: ExitStack) -> list[Stack]:
    files: dict[Path, DicomFile] = {}
    for path in paths:
        if not path.exists():
            raise WriteError("The DICOM series is no longer where it was read from.", NO_SOURCE)
        place = opened.enter_context(unpacked(path)) if is_archive_of_dicom(path) else path
        files |= {file.path: file for file in find(place, ReadOptions()).files}
    images = tuple(file for file in files.values() if not (is_segmentation(file) or is_structure_set(file)))
    return stacks_of(Found(images, ()))


def _chosen(volume: Volume, stacks: list[Stack], *, same_grid: bool) -> Source:
    if not stacks:
        raise WriteError("The reference holds no DICOM image.", NO_SOURCE)
    fitting = [one for one in stacks if one.geometry and onto_grid(as_block(volume), one.geometry)]
    if same_grid and not fitting:
        raise _other_grid(volume, stacks)
    found = fitting or stacks
    own = [one for one in found if one.series_id == volume.series_id] or found
    if len({one.series_id.partition("-")[0] for one in own}) > 1:
        names = ", ".join(one.name for one in own)
        raise WriteError(
            f"{volume.name} could belong to {len(own)} DICOM series: {names}.",
            "Name the folder of one with --reference.",
        )
    return Source(own[0])


def _other_grid(volume: Volume, stacks: list[Stack]) -> WriteError:
    if volume.geometry is None:
        return WriteError(f"{volume.name} has no place in the patient.", "Write it as .nii.gz.")
    grids = [" x ".join(map(str, one.geometry.shape)) for one in stacks if one.geometry is not None]
    own = " x ".join(map(str, volume.geometry.shape))
    return WriteError(
        f"{volume.name} ({own} voxels) does not lie on the grid of its DICOM series ({', '.join(grids) or 'none'}).",
        "Resample it to the series first, or write .nii.gz or .seg.nrrd.",
    )
