"""``convert`` to and from DICOM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from napari_medseg.io import read

Command = Callable[..., Any]


@pytest.fixture
def series(command: Command, cases: Path, tmp_path: Path) -> Path:
    """Return the folder of a CT series that `convert` made."""
    outcome = command("convert", cases / "images" / "case0.nii.gz", tmp_path / "series")
    assert outcome.code == 0
    assert "anonymous patient" in outcome.out
    return tmp_path / "series"


def test_an_image_becomes_a_series_and_comes_back(command: Command, cases: Path, series: Path, tmp_path: Path) -> None:
    assert command("convert", series, tmp_path / "back.nii.gz").code == 0
    (before,), (after,) = read(cases / "images" / "case0.nii.gz"), read(tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(after.data, before.data)
    assert after.geometry.matches(before.geometry, 1e-3)
    assert (before.modality, dcmread(series / "00001.dcm").Modality) == ("CT", "CT")


@pytest.mark.parametrize("name", ["labels.seg.dcm", "labels.rtstruct.dcm"])
def test_labels_become_dicom_on_their_series(
    command: Command, cases: Path, series: Path, tmp_path: Path, name: str
) -> None:
    labels = cases / "labels" / "case0.nii.gz"
    outcome = command("convert", labels, tmp_path / name)
    assert (outcome.code, len(outcome.err.strip().splitlines())) == (2, 1)
    assert "--reference" in outcome.err
    assert command("convert", labels, series.parent / name, "--reference", series).code == 0
    (series.parent / name).rename(series / name)
    image, found = read(series)
    (meant,) = read(labels)
    np.testing.assert_array_equal(found.data, meant.data)
    assert found.geometry.matches(image.geometry)


def test_the_kind_of_series_can_be_named(command: Command, cases: Path, tmp_path: Path) -> None:
    image = cases / "images" / "case0.nii.gz"
    assert command("convert", image, tmp_path / "mr", "--modality", "mr").code == 0
    assert dcmread(tmp_path / "mr" / "00001.dcm").Modality == "MR"
    outcome = command("convert", image, tmp_path / "us", "--modality", "US")
    assert outcome.code == 2
    assert "written as CT or MR" in outcome.err


def test_a_folder_with_other_files_is_not_touched(command: Command, cases: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    outcome = command("convert", cases / "images" / "case0.nii.gz", tmp_path / "mine")
    assert outcome.code == 2
    assert "holds other files" in outcome.err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
