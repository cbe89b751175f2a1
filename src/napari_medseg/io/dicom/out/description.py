"""What a derived image says about itself: that and how it was made, from what, and how its pixels are stored."""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage
from pydicom.valuerep import format_number_as_ds

from napari_medseg.io.dicom.out.identity import EQUIPMENT, copied
from napari_medseg.io.dicom.out.kinds import Kind
from napari_medseg.io.dicom.out.pixels import Scale
from napari_medseg.io.dicom.out.source import Source
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.volume import Geometry, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_medseg.io.dicom.frame import Frame

CONVERTED = "Converted from another file or saved again; nothing was computed"


def derived_elements(volume: Volume, kind: Kind, scale: Scale, header: Dataset) -> Dataset:
    """Return image type, description, scale and window, and the machine that took the image it was made from."""
    dataset = Dataset()
    dataset.ImageType = list(kind.image_type)
    made = volume.derivation or CONVERTED
    rounding = f"; values rounded, off by at most {scale.error:.3g}" if scale.error else ""
    dataset.DerivationDescription = f"{made[:900]}{rounding}"
    dataset.SeriesDescription = made[:64] if volume.derivation else "Converted"
    now = datetime.now()
    dataset.ContentDate, dataset.ContentTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    if kind.modality in ("CT", "PT") or not scale.is_identity:
        dataset.RescaleSlope = format_number_as_ds(scale.slope)
        dataset.RescaleIntercept = format_number_as_ds(scale.intercept)
        # The images of MR and PET have no element for it.
        if kind.sop_class in (CTImageStorage, SecondaryCaptureImageStorage):
            dataset.RescaleType = "HU" if volume.units == "HU" else "US"
    if volume.window is not None and not volume.rgb:
        dataset.update(window_elements(*map(float, volume.window)))
    if header.get("Manufacturer"):
        item = copied(header, EQUIPMENT)
        item.PurposeOfReferenceCodeSequence = [code("109101", "Acquisition Equipment")]
        dataset.ContributingEquipmentSequence = [item]
    return dataset


def window_elements(low: float, high: float) -> Dataset:
    """Return the elements of a display window; one narrower than 1 needs the function that has no such limit."""
    dataset = Dataset()
    exact = high - low < 1
    dataset.WindowCenter = format_number_as_ds((low + high) / 2 + (0 if exact else 0.5))
    dataset.WindowWidth = format_number_as_ds(high - low + (0 if exact else 1))
    if exact:
        dataset.VOILUTFunction = "LINEAR_EXACT"
    return dataset


def code(value: str, meaning: str) -> Dataset:
    """Return an item of DICOM's own dictionary."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def references(source: Source, grid: Geometry | None, index: int) -> Dataset:
    """Return what says from which images of the source a slice was made: those whose planes are next to it."""
    frames: Sequence[Frame] = source.frames[:1]
    if grid is not None and source.grid is not None:
        centre = LPS_TO_RAS @ (grid @ (index, (grid.shape[1] - 1) / 2, (grid.shape[2] - 1) / 2))
        frames = source.frames_near(centre, max(grid.spacing[0], source.grid.spacing[0]) / 2)
    purpose = code("121322", "Source image for image processing operation")
    found = [reference_to(source.header_of[frame.file], frame.index) for frame in frames]
    for item in found:
        item.PurposeOfReferenceCodeSequence = [purpose]
    files = dict.fromkeys(frame.file for frame in frames)
    dataset = Dataset()
    dataset.SourceImageSequence = found
    series = Dataset()
    series.SeriesInstanceUID = source.headers[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference_to(source.header_of[file], None) for file in files]
    dataset.ReferencedSeriesSequence = [series]
    return dataset


def reference_to(header: Dataset, frame: int | None) -> Dataset:
    """Return an item that names a file, and the frame in it, counted from 0, if it has several."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if frame is not None and has_frames(header):
        item.ReferencedFrameNumber = frame + 1
    return item


def has_frames(header: Dataset) -> bool:
    """Return whether a file holds several frames, which are named one by one."""
    return int(header.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in header


def pixel_elements(dtype: np.dtype[np.integer], *, samples: int) -> Dataset:
    """Return how pixels of a type are stored."""
    dataset = Dataset()
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(dtype.kind == "i")
    return dataset


def set_pixels(dataset: Dataset, stored: NDArray[np.integer]) -> None:
    """Put pixels into a data set, whose length must be even."""
    content = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if stored.dtype.itemsize > 1 else "OB"
