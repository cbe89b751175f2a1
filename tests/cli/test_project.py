"""``project`` says what a folder holds, and what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.cli.app import BAD_INPUT, run
from napari_medseg.io import read, write
from napari_medseg.project import Project
from napari_medseg.volume import Geometry, LabelClass, Volume


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with one case of which the image lies elsewhere, and one without labels."""
    grid = Geometry((4, 5, 6), np.diag([3.0, 1, 1, 1])[[2, 1, 0, 3]])
    image = Volume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), grid, name="scan")
    (stored,) = read(write(image, tmp_path / "scan.nii.gz"), suv=True)
    labels = np.zeros(stored.data.shape, np.uint8)
    labels[1, 2], labels[2, 2] = 1, 255
    with Project.create(tmp_path / "study") as project:
        first = project.add_case((project.refer(stored),), notes="motion")
        classes = (LabelClass(value=1, name="liver"),)
        project.save_labels(first.id, Volume(labels, stored.geometry, kind="labels", classes=classes))
        project.add_case((project.refer(stored, copy=True),), split="test")
        return project.folder


def test_info_lists_the_cases(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "info", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["name"] == "study"
    assert [(case["image"], case["use"], bool(case["saved"])) for case in said["cases"]] == [
        ("referenced", "train", True),
        ("copied", "test", False),
    ]
    assert run(["project", "info", str(folder)]) == 0
    assert "motion" in capsys.readouterr().out


def test_check_finds_what_is_gone_changed_or_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "check", str(folder)]) == 0
    assert capsys.readouterr().out == "case-001: ok\ncase-002: ok\n"
    next(folder.glob("cases/case-001/labels/*.slab")).write_bytes(b"")
    (folder.parent / "scan.nii.gz").rename(folder.parent / "moved.nii.gz")
    data = np.load(next(folder.glob("images/*.medvol")) / "data.npy", mmap_mode="r+")
    data[0, 0, 0] += 1
    data.flush()
    assert run(["project", "check", str(folder)]) == BAD_INPUT
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert "not where it was" in first
    assert "cannot be read" in first
    assert "has changed" in second
    assert "2 of 2 cases" in said.err
    assert "scan" not in said.out


def test_export_writes_what_others_read(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "export", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "case-002 has no labels yet" in capsys.readouterr().err
    (exported,) = read(tmp_path / "out" / "case-001.nii.gz")
    kept = Project.look(folder).load_labels("case-001")
    assert kept is not None
    np.testing.assert_array_equal(exported.data, kept[0].data)
    assert exported.geometry is not None
    assert kept[0].geometry is not None
    assert exported.geometry.matches(kept[0].geometry)
    assert run(["project", "info", str(tmp_path)]) == BAD_INPUT
