"""Enhancing from the command line: files, derived DICOM series, and one line where it cannot be."""

import json

import numpy as np
import pydicom
import pytest

from napari_medseg.cli.app import run
from napari_medseg.io import read, write
from napari_medseg.volume import Geometry, Volume


@pytest.fixture
def scan(tmp_path):
    z, y, x = np.indices((8, 24, 26))
    values = (500 + 300 * np.sin(z) * np.cos(y / 3) * np.sin(x / 4)).astype(np.int16)
    affine = np.array([[0, 0, -1.0, 5], [0, -1.0, 0, 6], [2.0, 0, 0, 7], [0, 0, 0, 1]])
    return write(Volume(values, Geometry(values.shape, affine), modality="MR"), tmp_path / "scan.nii.gz")


def test_from_a_set_to_predictions(scan, tmp_path, capsys):
    folder = tmp_path / "out"
    steps = ["--set", "steps=2", "--set", "features=4", "--set", "blocks=1", "--set", "device=cpu"]
    task = [
        "train",
        "superresolution",
        "--images",
        str(scan),
        "--factor",
        "1",
        "1",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    assert run([*task, *steps]) == 0
    bundle = str(tmp_path / "run" / "bundle")
    assert run(["predict", bundle, str(scan), "--out", str(folder), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out.split("\n", 2)[2])
    assert "SYNTHESISED: 2 x 1 x 1 times finer" in entry["derivation"]
    (fine,) = read(entry["image"])
    assert fine.data.shape == (16, 24, 26)
    assert fine.geometry.spacing[0] == pytest.approx(1.0)
    assert read(entry["uncertainty"])[0].data.shape == fine.data.shape
    assert run(["predict", bundle, str(scan), "--out", str(folder), "--set", "sharpness=2"]) == 2
    assert "no setting 'sharpness'" in capsys.readouterr().err


def test_a_derived_series_says_what_was_done(scan, tmp_path, capsys):
    series = tmp_path / "series"
    settings = ["--set", "steps=2", "--set", "features=4", "--set", "blocks=1", "--keep", str(tmp_path / "kept")]
    assert run(["enhance", str(scan), "--out", str(series), *settings]) == 0
    files = sorted(series.glob("*.dcm"))
    assert len(files) == 16
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    assert header.ImageType[0] == "DERIVED"
    assert "SYNTHESISED" in header.DerivationDescription
    assert "SYNTHESISED" in header.SeriesDescription
    assert (tmp_path / "kept" / "configs" / "metadata.json").is_file()
    assert run(["enhance", str(scan), "--out", str(tmp_path / "x.nii.gz"), "--method", "magic"]) == 2
    assert "no method named 'magic'" in capsys.readouterr().err
    # What cannot be written is said before the work, not after it.
    assert run(["enhance", str(scan), "--out", str(tmp_path / "x.png"), "--method", "magic"]) == 2
    assert "no suffix of a format that can be written" in capsys.readouterr().err


def test_quality(scan, tmp_path, capsys):
    assert run(["quality", str(scan), "--json", "--noise", str(tmp_path / "noise.nii.gz")]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["anisotropy"] == pytest.approx(2.0)
    assert any("2.0 times as thick" in finding for finding in report["findings"])
    assert read(tmp_path / "noise.nii.gz")[0].data.shape == (8, 24, 26)
