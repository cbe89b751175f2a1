"""What is found at paths, and in which order it is read, without a window."""

import shutil
from pathlib import Path

import dask.array
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from napari_medseg.errors import Cancelled, ReadError
from napari_medseg.io import read, scan
from napari_medseg.io.limits import LAZY
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.ui import opening
from napari_medseg.ui.opening import Found, Opened, Refused, finding, is_quick


def found_at(*paths: Path) -> Found:
    return finding(paths)(Control(), lambda _event: None)


def open_all(found: Found, frame=None) -> list[Event]:
    events: list[Event] = []
    opening.opening(found.entries, frame)(Control(), events.append)
    return events


def save(path: Path, degrees: float = 0) -> Path:
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    angle = np.radians(degrees)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), path)
    return path


def test_a_folder_is_found_as_python_lists_it(study) -> None:
    assert [entry.info for entry in found_at(study).entries] == scan(study)


def test_slices_that_come_together_are_their_series_and_no_other(study) -> None:
    found = found_at(*sorted((study / "part1").glob("s3-*"))[:3])
    assert [entry.info.description for entry in found.entries] == ["Neck"]
    (opened,) = open_all(found)[-1:]
    assert isinstance(opened, Opened)
    assert opened.volumes[0].data.shape == (7, 128, 128)


def test_slices_of_a_series_that_makes_several_volumes_bring_all_of_them(study) -> None:
    paths = sorted((study / "part0").iterdir())
    for path in paths[3:]:
        dataset = dcmread(path)
        dataset.ConvolutionKernel = "B70s"
        dataset.save_as(path)
    assert len({info.series_id for info in scan(study / "part0")}) == 2
    assert len(found_at(*paths[:2]).entries) == 2


def test_an_archive_is_listed_and_opened_series_by_series(study, tmp_path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "study"), "zip", study))
    found = found_at(archive)
    assert [entry.info.path for entry in found.entries] == [archive] * 3
    (opened,) = (event for event in open_all(Found(found.entries[1:2], ())) if isinstance(event, Opened))
    assert [volume.name for volume in opened.volumes] == [found.entries[1].info.name]


def test_each_series_comes_with_its_warnings_and_the_progress_grows(study) -> None:
    events = open_all(found_at(study))
    opened = [event for event in events if isinstance(event, Opened)]
    assert [event.entry.info for event in opened] == scan(study)
    assert any("missing" in note for note in opened[-1].notes)
    shares = [event.done for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)
    assert max(shares) > 600
    stages = {event.stage for event in events if isinstance(event, Progress)}
    assert {"Placing CT 1", "Placing CT 2", "Placing CT 3"} <= stages
    assert all(" of " in stage for stage in stages if stage.startswith("Reading"))


def test_a_series_too_large_for_memory_comes_as_it_is_lazy(study, monkeypatch) -> None:
    monkeypatch.setattr(opening, "memory_share", lambda: LAZY)
    found = found_at(study / "part0")
    (opened,) = (event for event in open_all(found) if isinstance(event, Opened))
    data, keywords, kind = opened.layers[0]
    assert isinstance(data, dask.array.Array)
    assert (kind, keywords["name"]) == ("image", "CT 2")
    np.testing.assert_array_equal(np.asarray(data), read(study / "part0")[0].data)


def test_series_that_come_together_lie_in_one_frame(tmp_path) -> None:
    found = found_at(save(tmp_path / "a.nii", 20), save(tmp_path / "b.nii", 20))
    first, second = (event for event in open_all(found) if isinstance(event, Opened))
    assert first.frame is None
    assert second.frame is first.layers[0][1]["metadata"]["napari_medseg"].frame


def test_one_that_cannot_be_read_does_not_keep_the_others(study, monkeypatch) -> None:
    found = found_at(study)
    bad = found.entries[1].info.series_id

    def picky(path, control, *, series, **options):
        if series == bad:
            raise ReadError("No.", "Why not.")
        return read(path, control, series=series, **options)

    monkeypatch.setattr(opening, "read", picky)
    kinds = [type(event) for event in open_all(found) if not isinstance(event, Progress)]
    assert sorted(kinds, key=str) == sorted([Opened, Opened, Refused], key=str)


def test_cancel_is_obeyed(study) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        finding([study])(control, lambda _event: None)
    with pytest.raises(Cancelled):
        opening.opening(found_at(study).entries, None)(control, lambda _event: None)


def test_problems_are_kept_beside_what_was_found(tmp_path, study) -> None:
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    found = found_at(study, tmp_path / "bad.nii")
    assert len(found.entries) == 3
    assert [problem.problem.split()[0] for problem in found.problems] == ["bad.nii"]


def test_little_is_quick_and_much_is_not(tmp_path, monkeypatch) -> None:
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(bytes(100))
    assert is_quick([tmp_path])
    monkeypatch.setattr(opening, "QUICK_BYTES", 499)
    assert not is_quick([tmp_path])
    monkeypatch.setattr(opening, "QUICK_BYTES", 500)
    monkeypatch.setattr(opening, "QUICK_FILES", 4)
    assert not is_quick([tmp_path])
    assert is_quick([tmp_path / "0"])
