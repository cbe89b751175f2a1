"""What was corrected where the user was sent outlives the window."""

import errno

import pytest

from napari_medseg.data.suggest import Place, Trial, Trials
from napari_medseg.errors import ReadError, WriteError
from napari_medseg.project import Project, visits
from napari_medseg.project.visits import FILE, add_visit, load_visits

SLICE = Trial("suggested", Place((4, 0, 0), (5, 9, 9), 0), 0.25)
BOX = Trial("random", Place((0, 1, 2), (3, 4, 5)), 0.0)


def test_visits_come_back_as_they_were_counted(tmp_path):
    assert load_visits(tmp_path) == ()
    add_visit(tmp_path, "case-001", SLICE)
    add_visit(tmp_path, "", BOX)
    found = load_visits(tmp_path)
    assert [visit.trial for visit in found] == [SLICE, BOX]
    assert [visit.case for visit in found] == ["case-001", ""]
    report = Trials(done=[visit.trial for visit in found]).report()
    assert (report.suggested, report.random, report.suggested_share) == (1, 1, 0.25)


def test_a_copy_of_a_project_takes_them_along(tmp_path):
    with Project.create(tmp_path / "one") as project:
        add_visit(project.folder, "case-001", SLICE)
        with project.copy_to(tmp_path / "other") as copied:
            assert load_visits(copied.folder) == load_visits(project.folder)


def test_damaged_ones_are_told_and_left_alone(tmp_path):
    (tmp_path / FILE).write_text('{"version": 1, "visits": [{"kind": "guess"}]}')
    with pytest.raises(ReadError, match="not understood"):
        load_visits(tmp_path)
    with pytest.raises(ReadError):
        add_visit(tmp_path, "case-001", SLICE)
    assert "guess" in (tmp_path / FILE).read_text()


def test_a_disk_that_does_not_take_them_is_told(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(visits, "write_text", full)
    with pytest.raises(WriteError, match="No space left"):
        add_visit(tmp_path, "case-001", SLICE)
