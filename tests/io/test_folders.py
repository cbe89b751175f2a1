"""A folder of image files lists and reads as its files, in Python, on the command line and in the browser alike."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.cli.app import run
from napari_medseg.errors import ReadError
from napari_medseg.io import read, scan, survey, write
from napari_medseg.io.folders import images_in
from napari_medseg.io.listing import row_of
from napari_medseg.volume import Volume


def save(path: Path, value: int = 1, shape: tuple[int, ...] = (3, 4, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full(shape, value, np.int16), np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def test_the_files_of_a_folder_are_read_by_name(tmp_path: Path) -> None:
    save(tmp_path / "b.nii.gz", 2)
    save(tmp_path / "a.nii", 1)
    (tmp_path / "notes.txt").write_text("Nothing to see here.")
    assert [volume.name for volume in read(tmp_path)] == ["a", "b"]
    assert [int(volume.data.max()) for volume in read(tmp_path)] == [1, 2]
    assert [info.name for info in scan(tmp_path)] == ["a", "b"]


def test_one_of_them_is_read_by_its_identifier(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", 1)
    save(tmp_path / "b.nii", 2)
    wanted = scan(tmp_path)[1]
    (volume,) = read(tmp_path, series=wanted.series_id)
    assert volume.name == "b"
    with pytest.raises(ReadError, match="no series"):
        read(tmp_path, series="nonsense")


def test_folders_below_count_where_the_folder_itself_has_no_image(tmp_path: Path) -> None:
    deep = save(tmp_path / "sub-01" / "anat" / "t1.nii.gz")
    assert images_in(tmp_path) == [deep]
    top = save(tmp_path / "top.nii")
    save(tmp_path / ".hidden.nii")
    assert images_in(tmp_path) == [top]


def test_both_halves_of_a_pair_are_one_image(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((3, 4, 5), np.int16), np.eye(4)), tmp_path / "pair.img")
    assert len(images_in(tmp_path)) == 2
    assert len(scan(tmp_path)) == len(read(tmp_path)) == 1


def test_a_mapped_volume_is_one_image_and_no_folder_of_images(tmp_path: Path) -> None:
    folder = write(Volume(np.ones((3, 4, 5), np.int16), None), tmp_path / "a.medvol")
    assert images_in(folder) == []
    assert images_in(tmp_path) == [folder]


def test_a_folder_with_dicom_is_read_as_dicom_whatever_lies_beside(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    save(tmp_path / "a.nii")
    (tmp_path / "one").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    assert images_in(tmp_path) == []
    assert [info.modality for info in scan(tmp_path)] == ["CT"]


def test_a_damaged_file_is_listed_beside_the_good_ones_and_never_skipped_in_silence(tmp_path: Path, capsys) -> None:
    good, bad = save(tmp_path / "a.nii"), save(tmp_path / "b.nii")
    bad.write_bytes(bad.read_bytes()[:200])
    listing = survey(tmp_path)
    assert [info.path for info in listing.found] == [good]
    assert [problem.problem.split()[0] for problem in listing.problems] == ["b.nii"]
    for function in (scan, read):
        with pytest.raises(ReadError, match=r"b\.nii"):
            function(tmp_path)
    assert run(["info", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "a " in said.out
    assert "b.nii" in said.err


def test_python_the_command_and_the_browser_list_the_same(tmp_path: Path, capsys) -> None:
    save(tmp_path / "a.nii", shape=(3, 4, 5))
    save(tmp_path / "b.nii", shape=(3, 4, 5, 6))
    found = scan(tmp_path)
    assert list(survey(tmp_path).found) == found
    assert run(["info", "--json", str(tmp_path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["series_id"], tuple(each["shape"])) for each in listed] == [(i.series_id, i.shape) for i in found]
    assert run(["info", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    for info, line in zip(found, lines, strict=True):
        row = row_of(info)
        assert info.series_id in line
        assert row.series in line
        assert row.size in line
        assert row.spacing in line
    assert row_of(found[1]).time_points == "6"
