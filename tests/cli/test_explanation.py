"""``explain`` writes a map on the image's grid and says what it is worth."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.io import read, write
from napari_medseg.volume import Volume

sys.path.append(str(Path(__file__).parents[1] / "explain"))
from cue_models import cue_classifier, oblique, plane, share_inside

CUE = (slice(0, 1), slice(6, 14), slice(18, 26))
QUICK = ("--set", "device=cpu", "--set", "curve_steps=3", "--set", "randomisations=1")


@pytest.fixture
def picture(tmp_path):
    flat = plane()
    volume = Volume(flat.data[None], oblique((1, 32, 32), (4.0, 1.0, 1.2)), name="slice")
    return write(volume, tmp_path / "slice.nii.gz")


def test_a_map_and_its_scores(command, tmp_path, picture):
    model = cue_classifier().save(tmp_path / "model").path
    out = tmp_path / "map.nii.gz"
    done = command(
        "explain", picture, "--model", model, "--method", "integrated-gradients", "--class", "cue", "--out", out,
        "--json", *QUICK, "--set", "baseline=mean",
    )  # fmt: skip
    assert done.code == 0, done.err
    scores = done.json
    assert scores["target"] == "cue"
    assert scores["options"]["baseline"] == scores["curves"]["baseline"] == "mean"
    assert scores["total"] == pytest.approx(scores["score"] - scores["baseline_score"], rel=0.05)
    assert scores["sanity"]["verdict"] in ("passed", "unclear")
    assert scores["sanity"]["words"].endswith(".")
    assert 0 <= scores["curves"]["deletion"]["area"] < scores["curves"]["insertion"]["area"] <= 1
    (found,), (image,) = read(out), read(picture)
    assert found.geometry == image.geometry
    assert share_inside(np.asarray(found.data), CUE, 0) > 0.95


def test_words_for_people(command, tmp_path, picture):
    model = cue_classifier().save(tmp_path / "model").path
    done = command("explain", picture, "--model", model, "--out", tmp_path / "map.nii.gz", *QUICK)
    assert done.code == 0, done.err
    assert "Grad-CAM in" in done.out
    assert "cue: probability 0.99" in done.out
    assert "baseline: mean" in done.out or "baseline: blur" in done.out


def test_several_images_are_channels(command, tmp_path, picture):
    model = cue_classifier(channels=2).save(tmp_path / "model").path
    (image,) = read(picture)
    dark = write(replace(image, data=np.zeros_like(image.data)), tmp_path / "dark.nii.gz")
    arguments = ("--model", model, "--class", "cue", "--out", tmp_path / "map.nii.gz", "--json", *QUICK)
    assert command("explain", dark, picture, *arguments).json["probability"] > 0.99
    assert "finds nothing that speaks for cue" in command("explain", picture, dark, *arguments).err
    small = write(Volume(np.zeros((1, 4, 4), np.float32), None, name="small"), tmp_path / "small.nii.gz")
    assert "not images of one channel on one grid" in command("explain", picture, small, *arguments).err


def test_the_methods_are_listed(command):
    assert "occlusion" in command("explain", "--list").out
    assert {one["name"] for one in command("explain", "--list", "--json").json} >= {"grad-cam", "lime", "shap"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs an image, --model and --out"),
        (("--method", "guess"), "Known are feature-maps, grad-cam"),
        (("--class", "bone"), "knows no class 'bone'"),
        (("--set", "baselin=mean"), "There is no setting 'baselin'"),
    ],
)
def test_what_is_wrong_is_said(command, tmp_path, picture, arguments, message):
    model = cue_classifier().save(tmp_path / "model").path
    rest = ("--model", model, "--out", tmp_path / "map.nii.gz", *arguments) if arguments else ()
    done = command("explain", picture, *rest)
    assert done.code == 2
    assert message in done.err
