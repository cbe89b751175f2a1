"""What a list of paths means: each image once, each under a name of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_medseg.data.samples import _package_folder
from napari_medseg.errors import DataError
from napari_medseg.inference.cases.finding import find_cases, safe

SaveImage = Callable[..., Path]


def names(*paths: Path) -> list[str]:
    cases, problems = find_cases(paths)
    assert problems == []
    return [case.name for case in cases]


def dicom_file() -> Path:
    folder = _package_folder("pydicom")
    assert folder is not None
    return folder / "data/test_files/CT_small.dcm"


def test_files_folders_and_patterns(save_image: SaveImage, tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.v2.nii.gz", "deep/er/c.nrrd"):
        save_image(tmp_path / "scans" / name)
    (tmp_path / "scans" / "notes.md").write_text("no image")
    assert names(tmp_path / "scans" / "b.nii.gz") == ["b"]
    assert names(tmp_path / "scans") == ["a.v2", "b"]
    assert names(tmp_path / "scans" / "**" / "*.n*") == ["a.v2", "b", "c"]
    assert names(tmp_path / "scans", tmp_path / "scans" / "b.nii.gz") == ["a.v2", "b"]


def test_names_that_clash_take_the_folders_above(save_image: SaveImage, tmp_path: Path) -> None:
    for name in ("s1/t/T1.nii.gz", "s2/t/t1.nii.gz", "s2/flair.nii.gz"):
        save_image(tmp_path / name)
    assert names(tmp_path / "s1/t/T1.nii.gz", tmp_path / "s2/t/t1.nii.gz", tmp_path / "s2/flair.nii.gz") == [
        "s1-t-T1",
        "s2-t-t1",
        "flair",
    ]


def test_lists(save_image: SaveImage, tmp_path: Path) -> None:
    save_image(tmp_path / "scans" / "a.nii.gz")
    save_image(tmp_path / "scans" / "b.nii.gz")
    table, lines = tmp_path / "list.csv", tmp_path / "list.txt"
    table.write_text("image,name,age\nscans/b.nii.gz,second: left,7\nscans/a.nii.gz,,8\n", encoding="utf-8-sig")
    assert names(table) == ["second_ left", "a"]
    lines.write_text("# two\nscans/a.nii.gz\n\n" + str(tmp_path / "scans/b.nii.gz") + "\n")
    assert names(lines) == ["a", "b"]
    table.write_text("image,name\nscans/a.nii.gz,x\nscans/b.nii.gz,x\n")
    with pytest.raises(DataError, match="name x to two"):
        find_cases([table])
    table.write_text("file\nscans/a.nii.gz\n")
    with pytest.raises(DataError, match="no column 'image'"):
        find_cases([table])


def test_a_dicom_tree_is_one_case_per_series(tmp_path: Path) -> None:
    import pydicom

    for patient, series in (("p1", "s1"), ("p1", "s2"), ("p2", "s1")):
        dataset = pydicom.dcmread(dicom_file())
        uid = f"1.2.{int.from_bytes((patient + series).encode())}"
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        (tmp_path / "tree" / patient / series).mkdir(parents=True)
        dataset.save_as(tmp_path / "tree" / patient / series / "1")
    cases, problems = find_cases([tmp_path / "tree"])
    assert problems == []
    assert [(case.name, case.path) for case in cases] == [
        ("p1-s1", tmp_path / "tree/p1/s1"),
        ("s2", tmp_path / "tree/p1/s2"),
        ("p2-s1", tmp_path / "tree/p2/s1"),
    ]
    shutil.copy(tmp_path / "tree/p2/s1/1", tmp_path / "tree/p1/s2/2")
    mixed = {case.name: case.path for case in find_cases([tmp_path / "tree/p1/s2"])[0]}
    assert len(mixed) == 2
    assert all(name.startswith("s2-") for name in mixed)
    # A series in two folders is read from the folder that holds both.
    spread = [case for case in find_cases([tmp_path / "tree"])[0] if case.path == tmp_path / "tree"]
    assert len(spread) == 1


def test_what_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.nii.gz").write_bytes(b"not an image")
    cases, problems = find_cases([tmp_path / "empty", tmp_path / "none*.nii", tmp_path / "bad.nii.gz"])
    # Damaged and missing files are cases that fail, so that the manifest names them.
    assert [case.name for case in cases] == ["none_", "bad"]
    assert len(problems) == 1
    assert "empty holds no" in problems[0]


@pytest.mark.parametrize(("name", "wanted"), [("a/b", "a_b"), ("..", "_"), ("x.\n", "x._"), ("ä b", "ä b")])
def test_names_are_names_of_files(name: str, wanted: str) -> None:
    assert safe(name) == wanted
