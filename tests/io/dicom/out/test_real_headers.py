"""Series as scanners and archives leave them: incomplete, invalid, enhanced, in mosaics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.io.orientation import onto_grid
from napari_medseg.volume import Volume

Make = Callable[..., Volume]
Draw = Callable[[Volume], Volume]
NAMES = ("a.dcm", "a.rtstruct.dcm")


def written(image: Volume, labels: Volume, folder: Path) -> list[Path]:
    """Write the labels both ways and the image; return a file of each."""
    paths = [write(labels, folder / name, reference=image) for name in NAMES]
    series = write(image, folder / "derived")
    return [*paths, sorted(series.iterdir())[0]]


def test_values_that_dicom_forbids_are_left_out(
    ct: Make, labels_of: Draw, tmp_path: Path, errors_of: Callable[[Path], list[str]]
) -> None:
    image = ct()
    for path in image.source:
        ds = dcmread(path)
        ds.add_new("PatientIdentityRemoved", "CS", "YES")
        ds.add_new("PatientSpeciesCodeSequence", "SQ", [])
        with pytest.warns(UserWarning, match="Invalid value"):
            ds.add_new("PatientAge", "AS", "0Y")
        ds.save_as(path)
    for path in written(image, labels_of(image), tmp_path):
        assert errors_of(path) == []
        ds = dcmread(path)
        assert "PatientAge" not in ds
        assert (ds.PatientName, ds.StudyInstanceUID) == ("Müller^Jörg", "1.2.3")


def test_headers_without_frame_of_reference_and_dates_agree_on_one(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    absent = ("FrameOfReferenceUID", "StudyDate", "StudyID", "PatientSex", "AccessionNumber", "SliceThickness")
    image = ct(**dict.fromkeys(absent))
    found = [dcmread(path) for path in written(image, labels_of(image), tmp_path)]
    assert len({ds.FrameOfReferenceUID for ds in found}) == 1
    assert [ds.StudyDate for ds in found] == ["", "", ""]


def test_a_charset_that_programs_get_wrong_is_understood(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct(PatientName=b"M\xfcller^J\xf6rg", SpecificCharacterSet="ISO_IR 100", PatientComments="")
    for path in written(image, labels_of(image), tmp_path):
        assert dcmread(path).PatientName == "Müller^Jörg"


def enhanced(folder: Path, sources: tuple[Path, ...]) -> Volume:
    """Write a classic series as one enhanced file with all that varies told per frame, and read it."""
    headers = sorted(map(dcmread, sources), key=lambda ds: ds.InstanceNumber)
    ds = headers[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    frames = []
    for header in headers:
        measures, plane, place, scale = Dataset(), Dataset(), Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = header.PixelSpacing, header.SliceThickness
        plane.ImageOrientationPatient = header.ImageOrientationPatient
        place.ImagePositionPatient = header.ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
        frame = Dataset()
        frame.PixelMeasuresSequence, frame.PlaneOrientationSequence = [measures], [plane]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    ds.PixelData = b"".join(header.PixelData for header in headers)
    ds.NumberOfFrames = len(headers)
    ds.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, keyword)
    folder.mkdir()
    ds.save_as(folder / "enhanced.dcm")
    (volume,) = read(folder)
    return volume


def test_frames_of_an_enhanced_file_are_named_one_by_one(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = enhanced(tmp_path / "enhanced", ct().source)
    labels = labels_of(image)
    seg, contours, slice_file = (dcmread(path) for path in written(image, labels, tmp_path))
    np.testing.assert_array_equal(onto_grid(read(tmp_path / "a.dcm")[0], image.geometry).data, labels.data)
    items = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in seg.PerFrameFunctionalGroupsSequence]
    assert {int(item.ReferencedFrameNumber) for item in items} >= {2, 3, 4}
    drawn = contours.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert drawn.ReferencedFrameNumber == 2
    assert [int(item.ReferencedFrameNumber) for item in slice_file.SourceImageSequence] == [1]


@pytest.mark.parametrize(
    "case", ["mr_philips_enh_anat", "mr_siemens_mosaic_sagittal", "mr_siemens_xa10_enh_4d", "ct_ge_missing_slice"]
)
def test_series_of_scanners(
    shared_data: Callable[[str], Path], labels_of: Draw, tmp_path: Path, case: str, errors_of: Callable
) -> None:
    image = read(shared_data("readers") / case)[0]
    labels = labels_of(image)
    for path in written(image, labels, tmp_path):
        assert errors_of(path) == []
    (found,) = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(onto_grid(found, image.geometry).data, labels.data)


def test_a_dose_grid_gets_contours_but_no_segments(
    phantoms, phantom: np.ndarray, labels_of: Draw, tmp_path: Path
) -> None:
    elements = phantoms.plane_elements(phantoms.lps_affine((2, 1, 1)), 0)
    given = {"Modality": "RTDOSE", "NumberOfFrames": 6, "GridFrameOffsetVector": [0, 2, 4, 6, 8, 10]}
    given |= {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2", "DoseGridScaling": 0.5, "FrameOfReferenceUID": "1.2.3.8"}
    ds = phantoms.slice_dataset((phantom + 100).astype(np.uint16), **elements, **given)
    (dose,) = read(phantoms.save(ds, tmp_path / "dose" / "1.dcm"))
    with pytest.raises(WriteError, match=r"RTDOSE.*rtstruct"):
        write(labels_of(dose), tmp_path / "a.dcm", reference=dose)
    write(labels_of(dose), tmp_path / "a.rtstruct.dcm", reference=dose)
