"""``measure`` on the command line."""

import csv

import numpy as np
import pytest

from napari_medseg.cli.app import BAD_INPUT, run
from napari_medseg.io import write
from napari_medseg.volume import Geometry, Volume


@pytest.fixture
def files(tmp_path):
    grid = Geometry((4, 5, 6), np.diag([2.0, 1.0, 0.5, 1.0]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:3, 1:3, 1:3] = 2
    write(Volume(labels, grid, name="labels", kind="labels"), tmp_path / "labels.nii.gz")
    write(Volume(labels * np.int16(30), grid, name="ct"), tmp_path / "ct.nii.gz")
    return tmp_path


def test_measures_are_printed_and_written(files, capsys):
    command = ["measure", str(files / "labels.nii.gz"), "--image", str(files / "ct.nii.gz")]
    assert run([*command, "--csv", str(files / "out.csv")]) == 0
    printed = capsys.readouterr().out
    assert "class 2" in printed
    assert "0.01" in printed
    with (files / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["voxels"], float(row["volume (ml)"]), float(row["mean"])) == ("class 2", "8", 0.008, 60)


def test_an_image_on_another_grid_is_refused(files, capsys):
    write(Volume(np.zeros((4, 5, 7), np.int16), None, name="other"), files / "other.nrrd")
    assert run(["measure", str(files / "labels.nii.gz"), "--image", str(files / "other.nrrd")]) == BAD_INPUT
    assert "not on the grid" in capsys.readouterr().err
