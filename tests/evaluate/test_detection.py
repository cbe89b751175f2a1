"""Boxes are scored as COCO's own code and LUNA16's rules do it."""

import contextlib
import io
import json

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.evaluate.boxes import BoxPairs, read_pairs
from napari_medseg.evaluate.detection import evaluate_detection, mean_precision
from napari_medseg.evaluate.detection_html import detection_html
from napari_medseg.evaluate.matching import froc, match_class, sensitivities
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass

CELL, BUD = LabelClass(value=1, name="cell"), LabelClass(value=2, name="bud")


def boxes_of(edges, scores=None, labels=None):
    edges = np.array(edges, float).reshape(len(edges), 2, -1)
    ones = np.ones(len(edges))
    return Boxes(edges, ones if labels is None else labels, ones if scores is None else scores, (CELL, BUD))


def random_set(seed, images=12):
    """Return a COCO file's content, and results that miss, repeat and tie."""
    rng = np.random.default_rng(seed)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "bud"}]}
    results = []
    for number in range(1, images + 1):
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": 100, "height": 100})
        for _ in range(rng.integers(0, 7)):
            x, y, w, h = (*rng.integers(0, 70, 2).tolist(), *rng.integers(4, 30, 2).tolist())
            label = int(rng.integers(1, 3))
            content["annotations"].append(
                {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": label, "area": w * h,
                 "bbox": [x, y, w, h], "iscrowd": int(rng.random() < 0.15)}
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                moved = np.round(np.array([x, y, w, h]) + rng.normal(0, 1.5, 4)).clip(1).tolist()
                score = float(np.round(rng.random(), 1))
                results.append({"image_id": number, "category_id": label, "bbox": moved, "score": score})
        for _ in range(rng.integers(0, 4)):
            box = [*rng.integers(0, 80, 2).tolist(), 15, 10]
            results.append({"image_id": number, "category_id": 2, "bbox": box, "score": float(rng.random())})
    return content, results


def by_coco(content, results):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        scores = COCOeval(truth, truth.loadRes(results), "bbox")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    return scores.stats[1], scores.stats[0]


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_are_those_of_pycocotools(tmp_path, seed):
    content, results = random_set(seed)
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(results))
    pairs = read_pairs(tmp_path / "results.json", tmp_path / "truth.json")
    np.testing.assert_allclose(mean_precision(pairs), by_coco(content, results), atol=1e-12)


def test_only_the_surest_hundred_count_as_in_coco(tmp_path):
    rng = np.random.default_rng(0)
    content, _ = random_set(1, images=1)
    truth = [[k * 10, y * 10, 8, 8] for k in range(10) for y in range(14)]
    content["annotations"] = [
        {"id": k + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 64, "iscrowd": 0}
        for k, box in enumerate(truth)
    ]
    results = [{"image_id": 1, "category_id": 1, "bbox": box, "score": float(rng.random())} for box in truth]
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(results))
    pairs = read_pairs(tmp_path / "results.json", tmp_path / "truth.json")
    expected = by_coco(content, results)
    assert expected[0] < 0.8
    np.testing.assert_allclose(mean_precision(pairs), expected, atol=1e-12)


def nodules():
    """Two scans: three nodules; hits at 0.9 and 0.5, strays at 0.7, 0.6 and 0.1, a second hit, one nodule missed."""
    box = [[10, 10, 10], [20, 20, 20]]
    other = [[30, 30, 30], [34, 34, 34]]
    far = [[60, 60, 60], [64, 64, 64]]
    truth = {"a": boxes_of([box, other]), "b": boxes_of([box])}
    near = [[12, 10, 10], [22, 20, 20]]
    predicted = {
        "a": boxes_of([box, near, far], [0.9, 0.8, 0.7]),
        "b": boxes_of([far, near, far], [0.6, 0.5, 0.1]),
    }
    return BoxPairs((CELL,), predicted, truth)


def test_froc_by_hand():
    matches = match_class(nodules(), 1)
    false, found = froc(matches)
    # After 0.9, 0.8 (a second hit), 0.7, 0.6, 0.5, 0.1.
    np.testing.assert_allclose(false, [0, 0, 0, 0.5, 1, 1, 1.5])
    np.testing.assert_allclose(found, np.array([0, 1, 1, 1, 1, 2, 2]) / 3)
    np.testing.assert_allclose(sensitivities(matches) * 3, [1, 1, 1, 2, 2, 2, 2])


def test_a_centre_outside_the_ellipsoid_is_no_hit():
    truth = {"a": boxes_of([[[0, 0, 0], [10, 10, 20]]])}
    corner = [[7, 7, 14], [11, 11, 24]]  # centre (9, 9, 19): in the box, not in the ellipsoid
    end = [[3, 3, 16], [7, 7, 22]]  # centre (5, 5, 19)
    for box, hit in ((corner, False), (end, True)):
        matches = match_class(BoxPairs((CELL,), {"a": boxes_of([box])}, truth), 1)
        assert bool(np.isfinite(matches.hits[0])) is hit
        assert bool(matches.stray[0]) is not hit


def test_report_with_threshold_and_intervals():
    report = evaluate_detection(nodules())
    one = report.classes["cell"]
    assert (one.boxes, one.predicted, report.images) == (3, 6, 2)
    assert one.froc == report.scores["froc"] == pytest.approx(11 / 21)
    # The best F1 is one half, with 1 of 1 right and with 2 of 5; of equal ones that of the higher threshold counts.
    assert (one.precision, one.recall, one.threshold) == (1, pytest.approx(1 / 3), 0.9)
    loose = evaluate_detection(nodules(), threshold=0.5).classes["cell"]
    assert (loose.precision, loose.recall) == (pytest.approx(2 / 5), pytest.approx(2 / 3))
    strict = evaluate_detection(nodules(), threshold=0.85).classes["cell"]
    assert (strict.precision, strict.recall) == (1, pytest.approx(1 / 3))
    assert evaluate_detection(nodules(), threshold=0.95).classes["cell"].recall == 0
    low, high = report.intervals["map50"].low, report.intervals["map50"].high
    assert low <= report.scores["map50"] <= high
    page = detection_html(report, nodules(), "<mine>")
    assert "<svg" in page
    assert "&lt;mine&gt;" in page


def test_patients_are_drawn_together():
    truth = {f"{k}": boxes_of([[[0, 0], [5, 5]]]) for k in range(6)}
    good, none = boxes_of([[[0, 0], [5, 5]]]), Boxes.none(2, (CELL, BUD))
    predicted = {name: good if int(name) < 3 else none for name in truth}
    alone = evaluate_detection(BoxPairs((CELL,), predicted, truth)).intervals["map50"]
    groups = {name: "one" if int(name) < 3 else "two" for name in truth}
    together = evaluate_detection(BoxPairs((CELL,), predicted, truth, groups=groups)).intervals["map50"]
    assert together.cases == 2
    assert (together.low, together.high) == (0, pytest.approx(1))
    assert alone.high - alone.low < 1


def test_tables_are_paired_by_name_and_class(tmp_path):
    (tmp_path / "predictions.csv").write_text(
        "image,label,score,xmin,ymin,xmax,ymax\nsub/a.png,cell,0.9,0,0,5,5\nother.png,cell,0.9,0,0,5,5\n"
    )
    (tmp_path / "truth.csv").write_text("image,label,xmin,ymin,xmax,ymax\na,cell,0,0,5,5\na,bud,9,9,10,10\nb,,,,,\n")
    pairs = read_pairs(tmp_path, tmp_path / "truth.csv")
    report = evaluate_detection(pairs)
    assert report.missing == ("b",)
    assert {name: one.ap50 for name, one in report.classes.items()} == {"cell": pytest.approx(1), "bud": 0}
    (tmp_path / "truth.csv").write_text("image,label,xmin,ymin,xmax,ymax\nz,cell,0,0,5,5\n")
    with pytest.raises(DataError, match="No image of truth"):
        read_pairs(tmp_path, tmp_path / "truth.csv")
    (tmp_path / "luna.csv").write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\na,0,0,0,3\n")
    with pytest.raises(DataError, match="--images"):
        read_pairs(tmp_path, tmp_path / "luna.csv")
