"""Train, predict and evaluate a classification from the command line, by folders and tables."""

import csv
import json
import shlex
import shutil

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_medseg.models import Bundle
from napari_medseg.training import RunFolder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return a folder with the folders dark and bright, of 12 images each."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, value in (("dark", 40), ("bright", 160)):
        (folder / name).mkdir()
        for number in range(12):
            iio.imwrite(folder / name / f"{number}.png", rng.integers(value, value + 40, (16, 14), np.uint8))
    return folder


def test_from_images_to_scores(command, pictures, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    settings = ("--set", "architecture=cnn_small", "--set", "width=2", "--set", "epochs=15", "--set", "batch_size=6",
                "--set", "learning_rate=0.01", "--set", "device=cpu")  # fmt: skip
    done = command("train", "classification", "--images", pictures, "--out", run, *settings)
    assert done.code == 0, done.err
    assert "on held-out images: auc" in done.out
    done = command("predict", run / "bundle", pictures, "--out", out)
    assert done.code == 0, done.err
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "predicted", "p_bright", "p_dark"]
    assert len(rows) == 24
    right = sum(row["image"].startswith(row["predicted"]) for row in rows)
    assert right >= 22
    scores, page = tmp_path / "scores.json", tmp_path / "scores.html"
    done = command("evaluate", "classification", "--predictions", out, "--references", pictures,
                   "--json", scores, "--html", page, "--sensitivity", "0.9")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(scores.read_text())["scores"]["accuracy"] == pytest.approx(right / 24)
    assert "<svg" in page.read_text()
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.png").write_bytes((pictures / "dark" / "0.png").read_bytes())
    (mixed / "b.png").write_bytes(b"no picture")
    done = command("predict", run / "bundle", mixed, "--out", out)
    assert (done.code, "b.png" in done.err, "1 of 2 images could not" in done.err) == (2, True, True)
    assert (out / "predictions.csv").read_text().splitlines()[1].startswith("a.png,dark,")


def test_a_run_is_done_again(command, pictures, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(pictures, own)
    run, again = tmp_path / "run", tmp_path / "again"
    settings = ("--set", "architecture=cnn_small", "--set", "width=2", "--set", "epochs=2", "--set", "device=cpu")
    assert command("train", "classification", "--images", own, "--out", run, *settings).code == 0
    name, *words = shlex.split(RunFolder(run).replay_command)
    assert (name, words[-1]) == ("napari-medseg", f"{run}-again")
    done = command(*words[:-1], again)
    assert done.code == 0, done.err
    one, other = (Bundle.load(folder / "bundle").state_dict() for folder in (run, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    done = command(*words[:-1], tmp_path / "third", "--minutes", "1")
    assert (done.code, "takes everything from its run" in done.err) == (2, True)
    done = command("train", "detection", "--replay", run, "--out", tmp_path / "third")
    assert (done.code, "`train classification`" in done.err) == (2, True)
    next(own.rglob("*.png")).unlink()
    done = command(*words[:-1], tmp_path / "third")
    assert (done.code, "have changed since the run" in done.err) == (2, True)


def test_folds_are_pooled(command, pictures, tmp_path):
    settings = ("--set", "architecture=cnn_small", "--set", "width=2", "--set", "epochs=2", "--set", "device=cpu")
    done = command("train", "classification", "--images", pictures, "--out", tmp_path / "cv", "--folds", "2", *settings)
    assert done.code == 0, done.err
    assert "24 images, 2 folds" in done.out
    assert len((tmp_path / "cv" / "predictions.csv").read_text().splitlines()) == 25
    assert json.loads((tmp_path / "cv" / "scores.json").read_text())["images"] == 24
    bundle = tmp_path / "cv" / "fold1" / "bundle"
    done = command("train", "classification", "--images", pictures, "--out", tmp_path / "x", "--folds", "2",
                   "--init", bundle)  # fmt: skip
    assert (done.code, "cannot be judged" in done.err) == (2, True)


def test_what_cannot_be_done_is_one_line(command, pictures, tmp_path):
    done = command("train", "classification", "--images", pictures / "dark", "--out", tmp_path / "run")
    assert done.code == 2
    assert "no folders of images named as classes" in done.err
    done = command("train", "classification", "--out", tmp_path / "run")
    assert (done.code, "--images says" in done.err) == (2, True)
    done = command("train", "classification", "--images", pictures, "--out", tmp_path / "run", "--set", "rate=1")
    assert (done.code, "no setting 'rate'" in done.err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_covariates_are_named_with_commas_between(command, pictures, tmp_path):
    rows = [f"{path.relative_to(pictures)},{path.parent.name},{30 + number},{'fm'[number % 2]}"
            for number, path in enumerate(sorted(pictures.rglob("*.png")))]  # fmt: skip
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["image,label,age,sex", *rows]))
    settings = ("architecture=cnn_small", "width=2", "epochs=1", "device=cpu", "covariates=age, sex")
    sets = [word for setting in settings for word in ("--set", setting)]
    done = command(
        "train", "classification", "--images", pictures, "--labels", labels, "--out", tmp_path / "run", *sets
    )
    assert done.code == 0, done.err
    told = ("--set", f"covariates={labels}")
    done = command("predict", tmp_path / "run" / "bundle", pictures, "--out", tmp_path / "out", *told)
    assert (done.code, "24 images" in done.out) == (0, True), done.err
    done = command("predict", tmp_path / "run" / "bundle", pictures, "--out", tmp_path / "out")
    assert "was told age, sex in training" in done.err
