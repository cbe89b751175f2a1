"""Failures count, pairs come from tables, another model is compared, and the page needs no other file."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.evaluate import ScoreOptions, evaluate_segmentation
from napari_medseg.evaluate.html import html_report
from napari_medseg.io import write
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=2, name="<liver> & more"))
AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])


def save(path: Path, columns: slice, affine: np.ndarray = AFFINE, value: int = 2) -> Path:
    data = np.zeros((6, 10, 12), np.uint8)
    data[1:5, 2:8, columns] = value
    return write(Volume(data, Geometry(data.shape, affine), kind="labels", classes=CLASSES), path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for case, shift in enumerate((0, 1, 2, 1)):
        save(tmp_path / "references" / f"c{case}.nrrd", slice(2, 6))
        save(tmp_path / "good" / f"c{case}.nrrd", slice(2, 6))
        save(tmp_path / "fair" / f"c{case}.nii.gz", slice(2 + shift, 6 + shift))
    return tmp_path


def test_what_is_missing_damaged_or_elsewhere_counts_as_nothing_found(folders: Path) -> None:
    predictions = folders / "fair"
    (predictions / "c1.nii.gz").unlink()
    (predictions / "c2.nii.gz").write_bytes(b"damaged")
    moved = AFFINE.copy()
    moved[0, 3] = 30
    save(predictions / "c3.nii.gz", slice(2, 6), moved)
    report = evaluate_segmentation(predictions, folders / "references")
    assert list(report.failures) == ["c1", "c2", "c3"]
    assert "no prediction" in report.failures["c1"]
    assert "30 mm apart" in report.failures["c3"]
    (name,) = report.mean
    assert [scores[name].dice for scores in report.cases.values()] == [1.0, 0.0, 0.0, 0.0]
    assert report.mean[name].dice == 0.25
    assert report.mean[name].hd95 == 0.0  # defined where something was found
    assert report.cases["c1"][name].volume_error_percent == -100.0
    assert report.intervals[name]["dice"].cases == 4


def test_another_grid_is_resampled_if_asked(folders: Path) -> None:
    fine = np.zeros((12, 20, 24), np.uint8)
    fine[2:10, 4:16, 4:12] = 2
    affine = np.diag([1.0, 0.5, 0.5, 1.0])
    affine[:3, 3] = (-0.5, -0.25, -0.25)
    write(Volume(fine, Geometry(fine.shape, affine), kind="labels", classes=CLASSES), folders / "fair" / "c0.nii.gz")
    references, choice = folders / "references", ("c0",)
    refused = evaluate_segmentation(folders / "fair", references, options=ScoreOptions(cases=choice))
    assert "voxels" in refused.failures["c0"]
    found = evaluate_segmentation(folders / "fair", references, options=ScoreOptions(cases=choice, resample=True))
    assert found.failures == {}
    assert found.mean_dice == 1.0


def test_masks_and_numbered_objects_count_as_one_class(tmp_path: Path) -> None:
    numbered = np.zeros((20, 20), np.uint16)
    numbered[2:6, 2:6], numbered[10:14, 10:14] = 1, 300
    write(Volume(numbered, None, kind="labels"), tmp_path / "r" / "a.tif")
    write(Volume((numbered > 0).astype(np.uint8) * 255, None, kind="labels"), tmp_path / "p" / "a.tif")
    report = evaluate_segmentation(tmp_path / "p", tmp_path / "r", options=ScoreOptions(scheme="foreground"))
    assert {name: scores.dice for name, scores in report.mean.items()} == {"foreground": 1.0}
    named = ScoreOptions(scheme="foreground", names={1: "nucleus"})
    assert list(evaluate_segmentation(tmp_path / "p", tmp_path / "r", options=named).mean) == ["nucleus"]


def test_pairs_from_a_table(folders: Path) -> None:
    table = folders / "pairs.csv"
    table.write_text("case,reference,prediction\nfirst,references/c0.nrrd,fair/c2.nii.gz\nc1,references/c1.nrrd,\n")
    report = evaluate_segmentation(folders / "good", table)
    assert [next(iter(scores.values())).dice for scores in report.cases.values()] == [0.5, 1.0]
    assert list(report.cases) == ["first", "c1"]
    table.write_text("reference,prediction\nreferences/c0.nrrd,fair/none.nii.gz\n")
    with pytest.raises(DataError, match="1 of 1 references have no prediction"):
        evaluate_segmentation(folders / "good", table)
    table.write_text("image\nx\n")
    with pytest.raises(DataError, match="no column 'reference'"):
        evaluate_segmentation(folders / "good", table)


def test_a_case_without_reference_is_refused(folders: Path) -> None:
    with pytest.raises(DataError, match="such as c9"):
        evaluate_segmentation(folders / "good", folders / "references", options=ScoreOptions(cases=("c0", "c9")))


def test_two_models(folders: Path) -> None:
    report = evaluate_segmentation(folders / "good", folders / "references", compare_with=folders / "fair")
    assert report.comparison is not None
    (test,) = report.comparison.tests["dice"].values()
    # Shifts of 0, 1, 2 and 1 of four columns: Dice 1, 0.75, 0.5, 0.75.
    assert test.difference == pytest.approx(0.25)
    assert test.cases == 4
    assert test.p == pytest.approx(0.25)  # three cases differ, all one way: 2 / 2**3
    parsed = json.loads(report.model_dump_json())
    assert parsed["comparison"]["mean"]["<liver> & more"]["dice"] == 0.75


def test_the_page_stands_alone(folders: Path) -> None:
    (folders / "fair" / "c3.nii.gz").unlink()
    report = evaluate_segmentation(folders / "good", folders / "references", compare_with=folders / "fair")
    page = html_report(report, "good", "fair")
    assert page == html_report(report, "good", "fair")
    assert "<liver>" not in page
    assert "&lt;liver&gt; &amp; more" in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page.replace("xlink:href", ""))
    assert "c3" in page
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3
    # As many points as cases: four per plot of a score, four volumes, four pairs.
    marks = [len(ElementTree.fromstring(picture).findall(".//{*}use")) for picture in pictures]
    assert all(mark >= 4 for mark in marks)


def test_without_volumes_and_with_one_case(tmp_path: Path) -> None:
    for folder in "pr":
        write(Volume(np.eye(8, dtype=np.uint8), None, kind="labels"), tmp_path / folder / "a.tif")
    report = evaluate_segmentation(tmp_path / "p", tmp_path / "r")
    assert report.intervals == {}
    assert html_report(report).count("<svg") == 1
