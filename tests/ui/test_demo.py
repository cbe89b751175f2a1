"""The demonstration as a whole, shortened, in a process of its own as the command starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.data import samples

pytestmark = [pytest.mark.viewer, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.skipif(samples._package_folder("nilearn") is None, reason="the extra 'sample' is not installed")
def test_it_trains_predicts_measures_and_leaves_three_files(tmp_path: Path) -> None:
    environment = {**os.environ, "NAPARI_MEDSEG_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "napari_medseg.ui.demo", "--out", str(tmp_path), "--minutes", "0.1", "--close"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Dice against the atlas" in done.stdout
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    labels, atlas = nib.load(tmp_path / "labels.nii.gz"), nib.load(samples.mni152_path("t1"))
    np.testing.assert_allclose(labels.affine, atlas.affine, atol=1e-6)
    assert labels.shape == atlas.shape
    data = np.asarray(labels.dataobj)
    assert metrics["volume_ml"]["grey matter"] == pytest.approx((data == 1).sum() / 1000)
    assert set(metrics["dice"]) == {"grey matter", "white matter"}
    assert (tmp_path / "screenshot.png").stat().st_size > 50_000
