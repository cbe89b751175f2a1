"""Train, predict and evaluate a detection from the command line."""

import csv
import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_medseg.models import Bundle


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Return a folder of images with one bright block each, and a COCO file."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 4, "name": "cell"}]}
    rng = np.random.default_rng(0)
    for number in range(6):
        image = rng.integers(0, 40, (48, 48), np.uint8)
        y, x = rng.integers(2, 30, 2).tolist()
        image[y : y + 12, x : x + 14] = 230
        iio.imwrite(folder / "images" / f"{number}.png", image)
        content["images"].append({"id": 10 + number, "file_name": f"{number}.png", "width": 48, "height": 48})
        content["annotations"].append(
            {"id": number + 1, "image_id": 10 + number, "category_id": 4, "bbox": [x, y, 14, 12], "iscrowd": 0}
        )
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder


def test_from_images_to_scores(command, cells, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    settings = ("--set", "epochs=2", "--set", "width=8", "--set", "body=4", "--set", "device=cpu", "--set", "zoom=1")
    done = command("train", "detection", "--images", cells / "images", "--labels", cells / "boxes.json", "--out", run,
                   *settings)  # fmt: skip
    assert done.code == 0, done.err
    assert "on held-out images: map50" in done.out
    assert not (run / "cache").exists(), "copies of images are left behind"
    assert command("train", "detection", "--replay", run, "--out", tmp_path / "again").code == 0
    one, other = (Bundle.load(folder / "bundle").state_dict() for folder in (run, tmp_path / "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    done = command("predict", run / "bundle", cells / "images", "--out", out, "--set", "threshold=0",
                   "--set", f"coco={cells / 'boxes.json'}")  # fmt: skip
    assert done.code == 0, done.err
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "score", "xmin", "ymin", "xmax", "ymax"]
    assert {row["image"] for row in rows} == {f"{k}.png" for k in range(6)}
    results = json.loads((out / "predictions.json").read_text())
    assert {result["image_id"] for result in results} == set(range(10, 16))
    assert {result["category_id"] for result in results} == {4}
    scores, page = tmp_path / "scores.json", tmp_path / "scores.html"
    for predictions in (out, out / "predictions.json"):
        done = command("evaluate", "detection", "--predictions", predictions, "--references", cells / "boxes.json",
                       "--json", scores, "--html", page)  # fmt: skip
        assert done.code == 0, done.err
        report = json.loads(scores.read_text())
        assert (report["images"], report["classes"]["cell"]["boxes"]) == (6, 6)
        assert "<svg" in page.read_text()
    done = command("predict", run / "bundle", cells / "images", "--out", out, "--set", "report=0.5")
    assert (done.code, "not read from DICOM" in done.err) == (2, True)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = command("predict", run / "bundle", cells / "images" / "0.png", tmp_path / "bad.png", "--out", out)
    assert (done.code, "1 of 2 images could not" in done.err) == (2, True)


def test_what_cannot_be_done_is_one_line(command, cells, tmp_path):
    done = command("train", "detection", "--images", cells / "images", "--out", tmp_path / "run")
    assert (done.code, "--labels say what to train on" in done.err) == (2, True)
    done = command("train", "detection", "--images", cells / "images", "--labels", cells / "images" / "0.png",
                   "--out", tmp_path / "run")  # fmt: skip
    assert (done.code, "cannot be read as a table" in done.err) == (2, True)
    done = command("train", "detection", "--images", cells / "images", "--labels", cells / "boxes.json",
                   "--out", tmp_path / "run", "--set", "stride=8")  # fmt: skip
    assert (done.code, "no setting 'stride'" in done.err) == (2, True)
    assert not (tmp_path / "run").exists()
