"""What is written as DICOM: segmentations, structure sets and derived series."""

from pathlib import Path

from pydicom.config import disable_value_validation

from napari_medseg.errors import WriteError
from napari_medseg.io.format import Written
from napari_medseg.volume import Volume


def write_dicom(volume: Volume, path: Path) -> Written:
    """Write a label map to a file, as contours if its name ends in ``.rtstruct.dcm``, or an image to a new folder.

    An image of one slice may be written to a file as well.

    Raises
    ------
    WriteError
        If DICOM has no place for the volume, or the series that it belongs to is not known.
    """
    # Of values in the source that break the rules of DICOM: they are the source's, and references must name them.
    with disable_value_validation():
        return _written(volume, path)


def _written(volume: Volume, path: Path) -> Written:
    # highdicom and scikit-image cost a second that reading shall not pay.
    if volume.kind == "labels":
        if not path.suffix:
            raise WriteError(f"{volume.name} is a label map, which is one file.", "Write .dcm or .rtstruct.dcm.")
        if path.name.lower().endswith(".rtstruct.dcm"):
            from napari_medseg.io.dicom.out.structures import write_structures

            return write_structures(volume, path)
        from napari_medseg.io.dicom.out.segmentation import write_segmentation

        return write_segmentation(volume, path)
    from napari_medseg.io.dicom.out.series import write_series

    return write_series(volume, path)
