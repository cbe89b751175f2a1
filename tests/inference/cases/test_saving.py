"""A prediction on a DICOM series is saved as DICOM that refers to it."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from napari_medseg.data.phantom import ct_phantom
from napari_medseg.errors import ConfigError, WriteError
from napari_medseg.inference.cases.request import Case
from napari_medseg.inference.cases.saving import saver_for
from napari_medseg.io import read, write
from napari_medseg.prediction import LabelMap, Prediction, UncertaintyMap


@pytest.fixture
def series(tmp_path: Path) -> Path:
    image, _ = ct_phantom(0, shape=(8, 20, 20), spacing_mm=(16.0, 10.0, 10.0))
    return write(image, tmp_path / "series", report=lambda _note: None)


def predicted(series: Path) -> Prediction:
    (image,) = read(series)
    labels = (np.asarray(image.data) > 0).astype(np.uint8)
    _, drawn = ct_phantom(0, shape=(8, 20, 20), spacing_mm=(16.0, 10.0, 10.0))
    maps = (LabelMap(labels, drawn.classes), UncertaintyMap(np.zeros(labels.shape, np.float32)))
    return Prediction(maps, image.geometry, "net", "0" * 64)


@pytest.mark.parametrize("name", ["dcm", ".seg.dcm"])
def test_labels_are_a_segmentation_of_the_series_and_maps_go_beside_it(series: Path, tmp_path: Path, name: str) -> None:
    prediction = predicted(series)
    outputs = saver_for(name)(prediction, Case(name="case", path=series), tmp_path)
    (found,) = read(outputs["labels"])
    np.testing.assert_array_equal(found.data, prediction.label_map.labels)
    header = dcmread(series / "00001.dcm")
    assert dcmread(outputs["labels"]).ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    assert outputs["uncertainty"].name == "case-uncertainty.nii.gz"


def test_contours_can_be_asked_for(series: Path, tmp_path: Path) -> None:
    outputs = saver_for("rtstruct.dcm")(predicted(series), Case(name="case", path=series), tmp_path)
    assert dcmread(outputs["labels"]).Modality == "RTSTRUCT"


def test_an_image_that_is_no_dicom_has_no_dicom_labels(series: Path, tmp_path: Path) -> None:
    path = write(read(series)[0], tmp_path / "image.nii")
    with pytest.raises(WriteError, match="no DICOM image"):
        saver_for("dcm")(predicted(series), Case(name="case", path=path), tmp_path)
    with pytest.raises(ConfigError, match="Use one of"):
        saver_for("zip")
