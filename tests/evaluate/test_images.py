"""Scores of images against the truth, with known answers."""

import json

import numpy as np
import pytest

from napari_medseg.cli.app import run
from napari_medseg.errors import DataError
from napari_medseg.evaluate.images import compare, hfen, psnr, score_image
from napari_medseg.io import write
from napari_medseg.volume import Geometry, Volume


def test_known_answers():
    truth = np.random.default_rng(0).uniform(0, 100, (16, 16, 16)).astype(np.float32)
    truth[0, 0, :2] = 0, 100
    assert psnr(truth + 10, truth) == pytest.approx(20.0, abs=1e-3)
    assert psnr(truth + 10, truth, peak=1000) == pytest.approx(40.0, abs=1e-3)
    same = compare(truth + 1e-4, truth)
    assert same["ssim"] == pytest.approx(1.0, abs=1e-4)
    # A constant has no edges; a scaled image has scaled ones.
    assert hfen(truth + 10, truth) == pytest.approx(0.0, abs=0.01)
    assert hfen(1.5 * truth, truth) == pytest.approx(0.5, abs=1e-4)


def test_an_image_against_the_truth_on_another_order_of_axes(tmp_path, capsys):
    truth = np.random.default_rng(0).uniform(0, 100, (12, 14, 16)).astype(np.float32)
    truth[0, 0, :2] = 0, 100
    grid = Geometry(truth.shape, np.diag([2.0, 1, 1, 1]))
    # The same voxels in the same places, in another order.
    other = Geometry((16, 14, 12), grid.affine @ np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]))
    right = Volume(truth.transpose(2, 1, 0), other, name="right")
    scores = score_image(Volume(truth + 10, grid), right)
    assert scores.psnr == pytest.approx(20.0, abs=1e-3)
    assert str(scores).endswith("against right, on all of its 2688 voxels with values from 0 to 100")
    with pytest.raises(DataError, match="other voxels"):
        score_image(Volume(truth, grid), Volume(truth[:-1], grid.cropped((0, 0, 0), (11, 14, 16)), name="right"))

    for name, values in (("computed/a", truth + 10), ("computed/a-uncertainty", truth), ("true/a", truth)):
        write(Volume(values, grid), tmp_path / f"{name}.nii.gz")
    folders = ["--predictions", str(tmp_path / "computed"), "--references", str(tmp_path / "true")]
    assert run(["evaluate", "superresolution", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["a"]["psnr"] == pytest.approx(20.0, abs=1e-2)
    assert found["a"]["voxels"] == truth.size
    assert run(["evaluate", "enhancement", *folders]) == 0
    assert "20.00" in capsys.readouterr().out


def test_what_is_no_number_does_not_count():
    truth = np.random.default_rng(0).uniform(0, 100, (12, 14, 16)).astype(np.float32)
    truth[0, 0, :2] = 0, 100
    found = truth + 10
    found[:2, :3, 4:], truth[-1, -1, -4:] = np.nan, np.nan
    scores = score_image(Volume(found, None), Volume(truth, None, name="right"))
    assert scores.voxels == truth.size - 2 * 3 * 12 - 4
    assert 20 < scores.psnr < 20.3
    assert psnr(found[3:-1], found[3:-1]) == np.inf
