"""Work without a project is kept, found again, and deleted only when the user says so."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from napari_medseg.project import Project
from napari_medseg.project import sessions as kept
from napari_medseg.project.sessions import Left, left_behind, new_session
from napari_medseg.volume import Volume


def painted(strokes: Volume) -> Project:
    session = new_session()
    session.save_labels(session.add_case(()).id, strokes)
    return session


def test_what_a_window_left_is_found_the_latest_first(strokes: Volume) -> None:
    one, two, running = painted(strokes), painted(strokes), painted(strokes)
    index = one.folder / "cases" / "case-001" / "labels" / "index.json"
    os.utime(index, (1000, 1000))
    one.close()
    two.close()
    assert [left.folder for left in left_behind()] == [two.folder, one.folder]
    assert left_behind()[1].saved == 1000
    assert left_behind()[0].cases == 1
    kept.discard(left_behind()[0])
    assert [left.folder for left in left_behind()] == [one.folder]
    # for a week, what was discarded by mistake can be had back
    aside = kept.sessions_folder() / "discarded" / two.folder.name
    kept.remove_empty()
    assert aside.exists()
    kept.remove_empty(time.time() + 8 * 86400)
    assert not aside.exists()
    assert one.folder.exists()
    running.close()
    assert kept.is_session(running)


def test_empty_sessions_go_without_asking(strokes: Volume) -> None:
    empty, running, full = new_session(), new_session(), painted(strokes)
    empty.close()
    full.close()
    kept.remove_empty()
    assert not empty.folder.exists()
    assert running.folder.exists()
    assert full.folder.exists()
    running.close()


def test_a_project_whose_window_died_is_offered_and_never_deleted(
    project: Project, strokes: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.save_labels(project.add_case(()).id, strokes)
    kept.note_open(project.folder)
    assert left_behind() == []
    monkeypatch.setattr("napari_medseg.project.lock.Holder.is_alive", False)
    (left,) = left_behind()
    assert left.is_project
    kept.discard(left)
    assert project.folder.exists()
    assert left_behind() == []


def test_a_project_that_was_closed_is_not_offered(project: Project, strokes: Volume) -> None:
    project.save_labels(project.add_case(()).id, strokes)
    kept.note_open(project.folder)
    project.close()
    assert left_behind() == []


def test_old_and_many_sessions_are_offered_for_deletion() -> None:
    now = time.time()
    new = Left(Path("new"), now - 60, 1, 10)
    old = Left(Path("old"), now - 40 * 86400, 1, 10)
    large = Left(Path("large"), now - 3600, 1, kept.MANY_BYTES)
    mine = replace(old, folder=Path("mine"), is_project=True)
    assert kept.superfluous([new, old, mine]) == [old]
    assert kept.superfluous([large, new]) == [new]
    assert kept.superfluous([new]) == []
