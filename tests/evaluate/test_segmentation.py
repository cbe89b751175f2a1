"""Folders of label maps are paired, checked and scored."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import Cancelled, DataError
from napari_medseg.evaluate import ScoreOptions, evaluate_segmentation, score_case, score_segmentation
from napari_medseg.io import write
from napari_medseg.progress import Control, Progress
from napari_medseg.volume import Geometry, LabelClass, Volume

AFFINE = np.diag([2.0, 1.0, 0.5, 1.0])[:, [2, 1, 0, 3]]
CLASSES = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (2, "liver"), (5, "cyst")))


def labels(liver: slice, *, cyst: bool = False, affine=AFFINE, shape=(6, 10, 12)) -> Volume:
    data = np.zeros(shape, np.uint8)
    data[:, :, liver] = 2
    if cyst:
        data[0, 0, 0] = 5
    return Volume(data, Geometry(shape, affine), name="labels", kind="labels", classes=CLASSES)


def save(volume: Volume, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return write(volume, path)


def test_without_the_geometry_of_one_both_are_taken_as_they_are_stored():
    flipped = AFFINE @ np.diag([-1, 1, 1, 1])
    here = labels(slice(2, 6), cyst=True, affine=flipped)
    scores = score_case(here, Volume(here.data, None, kind="labels", classes=CLASSES))
    assert [one.dice for one in scores.values()] == [1, 1]


def test_names_may_have_a_common_end(tmp_path):
    for case in ("a_1", "a_2", "a_3"):
        save(labels(slice(3, 7)), tmp_path / "references" / f"{case}.nii.gz")
        save(labels(slice(2, 6)), tmp_path / "predictions" / f"{case}_0000.nii.gz")
    options = ScoreOptions(cases=("a_1", "a_2_0000"))
    report = evaluate_segmentation(tmp_path / "predictions", tmp_path / "references", options=options)
    assert list(report.cases) == ["a_1", "a_2"]
    assert report.mean["liver"].dice == 0.75


def test_a_case_by_hand():
    scores = score_case(labels(slice(2, 6)), labels(slice(3, 7), cyst=True), tolerance=2.0)
    assert list(scores) == ["liver", "cyst"]
    # Three of four columns overlap; the ends are one column of 2 mm apart.
    assert scores["liver"].dice == 0.75
    assert scores["liver"].hd95 == 2.0
    assert scores["liver"].nsd == 1.0
    # 6 * 10 * 4 voxels of 1 µl.
    assert scores["liver"].predicted_ml == pytest.approx(0.24)
    assert scores["liver"].volume_error_ml == 0.0
    assert scores["cyst"].dice == scores["cyst"].nsd == 0.0
    assert scores["cyst"].hd95 is None
    assert scores["cyst"].volume_error_ml == pytest.approx(-0.001)


def test_direction_of_axes_in_the_file_does_not_matter():
    reference = labels(slice(3, 7), cyst=True)
    turned = Volume(
        reference.data[::-1].transpose(2, 1, 0), reference.geometry.flipped(0).transposed((2, 1, 0)), kind="labels"
    )
    scores = score_case(turned, reference)
    assert [score.dice for score in scores.values()] == [1.0, 1.0]
    assert scores["liver"].hd95 == 0.0


def test_folders_pair_by_name_and_average_where_defined(tmp_path):
    save(labels(slice(2, 6)), tmp_path / "predicted" / "a.medvol")
    save(labels(slice(0, 4)), tmp_path / "predicted" / "b.nii.gz")
    save(labels(slice(0, 1)), tmp_path / "predicted" / "unrelated.nii.gz")
    save(labels(slice(3, 7), cyst=True), tmp_path / "references" / "a.medvol")
    save(labels(slice(0, 4)), tmp_path / "references" / "b.medvol")
    report = evaluate_segmentation(tmp_path / "predicted", tmp_path / "references")
    assert report.unit == "mm"
    assert {name: scores["liver"].dice for name, scores in report.cases.items()} == {"a": 0.75, "b": 1.0}
    assert report.mean["liver"].dice == 0.875
    assert report.mean["cyst"].dice == 0.0
    assert report.mean["cyst"].hd95 is None
    assert report.mean_dice == pytest.approx(0.4375)
    parsed = json.loads(report.model_dump_json())
    assert parsed["mean"]["liver"]["hd95"] == 1.0


def test_two_files(tmp_path):
    file = save(labels(slice(2, 6)), tmp_path / "x.nii.gz")
    report = evaluate_segmentation(file, save(labels(slice(2, 6)), tmp_path / "y.nii.gz"))
    assert list(report.cases) == ["y"]
    assert report.cases["y"]["liver"].dice == 1.0


def test_grids_that_differ_are_refused():
    with pytest.raises(DataError, match=r"\(6, 10, 12\) voxels and the reference \(6, 10, 13\)"):
        score_case(labels(slice(2, 6)), labels(slice(2, 6), shape=(6, 10, 13)))
    moved = AFFINE.copy()
    moved[0, 3] += 1.5
    with pytest.raises(DataError, match=r"case 7: .* 1\.5 mm apart"):
        score_case(labels(slice(2, 6)), labels(slice(2, 6), affine=moved), name="case 7")


def test_images_are_no_label_maps():
    image = Volume(np.linspace(0, 1, 8).reshape(2, 2, 2), None, name="scan")
    with pytest.raises(DataError, match="scan is not a label map"):
        score_case(image, image)


def test_without_geometry_distances_are_in_voxels(tmp_path):
    data = np.zeros((4, 4), np.uint8)
    data[0, 0] = 1
    for folder, shift in (("p", 2), ("r", 0)):
        save(Volume(np.roll(data, shift, 1), None, kind="labels"), tmp_path / folder / "a.medvol")
    report = evaluate_segmentation(tmp_path / "p", tmp_path / "r")
    assert report.unit == "voxels"
    assert report.cases["a"]["class 1"].hd95 == 2.0
    assert report.cases["a"]["class 1"].predicted_ml is None


def test_missing_prediction_and_folder(tmp_path):
    save(labels(slice(2, 6)), tmp_path / "r" / "a.medvol")
    (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match="holds no label maps"):
        evaluate_segmentation(tmp_path / "p", tmp_path / "r")
    save(labels(slice(2, 6)), tmp_path / "p" / "b.medvol")
    with pytest.raises(DataError, match=r"1 of 1 references have no prediction .* such as a"):
        evaluate_segmentation(tmp_path / "p", tmp_path / "r")
    with pytest.raises(DataError, match="no folder"):
        evaluate_segmentation(tmp_path / "nowhere", tmp_path / "r")


def test_progress_and_cancel(tmp_path):
    for folder in "pr":
        for name in "ab":
            save(labels(slice(2, 6)), tmp_path / folder / f"{name}.medvol")
    control = Control()
    events = score_segmentation(control, tmp_path / "p", tmp_path / "r")
    assert next(events) == Progress("Scoring", 1, 2, pytest.approx(0, abs=60))
    control.cancel()
    with pytest.raises(Cancelled):
        next(events)
