"""The comparison on the hippocampus trains both systems on a split, scores them alike, and states the margins."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hippocampus.py"


@pytest.fixture(scope="module")
def hippocampus() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hippocampus_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path) -> Path:
    """Return a folder of three noisy images of two bars."""
    rng, names = np.random.default_rng(0), ["a", "b", "c"]
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name in names:
        labels = np.zeros((34, 50, 36), np.uint8)
        labels[10:20, 8:24, 12:24], labels[10:20, 24:40, 12:24] = 1, 2
        image = (100 * labels + rng.normal(0, 5, labels.shape)).astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / "imagesTr" / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "labelsTr" / f"{name}.nii.gz")
    (tmp_path / "split.json").write_text(json.dumps({"train": names[:2], "val": names[2:]}), encoding="utf-8")
    return tmp_path


def test_dice_is_that_of_each_part(hippocampus):
    truth = np.array([0, 1, 1, 2])
    assert hippocampus.dice_of(np.array([0, 1, 2, 2]), truth) == [pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert hippocampus.dice_of(truth, truth) == [1.0, 1.0]


def test_the_recipe_learns_two_bars(hippocampus, data, monkeypatch):
    monkeypatch.setattr(hippocampus, "PATCH", (24, 32, 24))
    (scores,) = hippocampus.recipe(data, 0.12, ["c"], features=4)
    assert len(scores) == 2
    assert all(0 <= score <= 1 for score in scores)


def test_margins_are_the_smallest_over_times_and_parts(hippocampus):
    scores = lambda a, p: {"anterior": a, "posterior": p}  # noqa: E731
    found = {
        "ours": {"4": scores(0.80, 0.82), "15": scores(0.89, 0.86)},
        "nnunet-16": {"4": scores(0.72, 0.75), "15": scores(0.87, 0.855)},
    }
    summary = hippocampus.summary(found)
    assert summary["smallest_margin_over_nnunet"] == pytest.approx(0.005)
    assert summary["margin_over_goal"]["15"] == {"anterior": pytest.approx(0.005), "posterior": pytest.approx(-0.01)}
    assert hippocampus.summary({"nnunet-16": found["nnunet-16"]})["smallest_margin_over_nnunet"] is None
