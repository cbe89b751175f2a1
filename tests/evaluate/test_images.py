"""Scores of images against the truth, with known answers."""

import numpy as np
import pytest

from napari_medseg.evaluate.images import compare, hfen, psnr


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
