"""What was done can be undone, in any depth, without losing what was painted since."""

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.results import Change, History, history
from napari_medseg.results.history import Entry


def edit(labels, log, what, index, value):
    before = labels.copy()
    labels[index] = value
    log.add(Entry(what, (Change.between(before, labels),)))


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 3, (6, 7, 8)).astype(np.uint8)


def test_steps_are_undone_and_done_again_one_by_one(labels):
    states, log = [labels.copy()], History()
    for number, index in enumerate([np.s_[1:3], np.s_[2, 3:5], np.s_[:, 1, 4]]):
        edit(labels, log, f"step {number}", index, 4 + number)
        states.append(labels.copy())
    for number in (2, 1, 0):
        assert log.undo(labels).what == f"step {number}"
        np.testing.assert_array_equal(labels, states[number])
    assert not log.undoable
    for number in (0, 1, 2):
        assert log.redo(labels).what == f"step {number}"
        np.testing.assert_array_equal(labels, states[number + 1])
    assert (log.undoable, log.redoable, len(log)) == ("step 2", "", 3)


def test_what_was_painted_since_stays(labels):
    before, log = labels.copy(), History()
    edit(labels, log, "fill", np.s_[0:4], 9)
    labels[2, 2, 2] = 7
    log.undo(labels)
    assert labels[2, 2, 2] == 7
    labels[2, 2, 2] = before[2, 2, 2]
    np.testing.assert_array_equal(labels, before)


def test_a_new_step_ends_what_could_be_done_again(labels):
    log = History()
    edit(labels, log, "one", np.s_[0], 5)
    log.undo(labels)
    edit(labels, log, "two", np.s_[1], 5)
    assert (log.undoable, log.redoable) == ("two", "")


def test_a_step_that_changed_nothing_and_wider_numbers_are_no_trouble(labels):
    log, before = History(), labels.copy()
    edit(labels, log, "nothing", np.s_[0:0], 5)
    wide = labels.astype(np.uint16)
    wide[0, 0, 0] = 300
    log.add(Entry("wide", (Change.between(labels, wide),)))
    log.undo(wide)
    log.undo(wide)
    np.testing.assert_array_equal(wide, before)


def test_several_arrays_are_one_step(labels):
    shown, log = np.repeat(labels, 2, axis=0), History()
    before, shown_before = labels.copy(), shown.copy()
    labels[1], shown[2:4] = 5, 5
    log.add(Entry("both", (Change.between(before, labels), Change.between(shown_before, shown))))
    log.undo(labels, shown)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(shown, shown_before)


def test_memory_is_bounded_and_the_newest_step_is_kept(labels, monkeypatch):
    log = History()
    edit(labels, log, "one", np.s_[:3], 5)
    monkeypatch.setattr(history, "MOST_BYTES", 10)
    edit(labels, log, "two", np.s_[3:], 6)
    assert (len(log), log.undoable) == (1, "two")


def test_an_entry_is_small():
    before = np.zeros((100, 100, 100), np.uint8)
    after = before.copy()
    after[40:60, 40:60, 40:60] = 1
    change = Change.between(before, after)
    assert change.voxels == 8000
    assert change.nbytes == 8000 // 8 + 2 * 8000


def test_an_array_of_other_voxels_is_refused_and_the_step_kept(labels):
    log = History()
    edit(labels, log, "one", np.s_[0], 5)
    for arrays in ((labels[1:],), (labels, labels), ()):
        with pytest.raises(DataError, match="other voxels"):
            log.undo(*arrays)
    assert log.undoable == "one"


def test_what_is_known_of_a_voxel_goes_with_its_label(labels):
    known, before, log = np.zeros_like(labels), labels.copy(), History()
    box = np.s_[1:3, 2:4, 0:8]
    old, told = labels[box].copy(), known[box].copy()
    labels[box], known[box] = 9, 4
    log.add(Entry("model", (Change.at(labels.shape, box, [(old, labels[box]), (told, known[box])]),)))
    labels[1, 2, 0] = 7
    log.undo(labels, carried=(known,))
    assert labels[1, 2, 0] == 7
    assert known[1, 2, 0] == 4
    assert known.sum() == 4
    labels[1, 2, 0] = before[1, 2, 0]
    np.testing.assert_array_equal(labels, before)
    labels[1, 2, 0] = 7
    log.redo(labels, carried=(known,))
    assert (known[box] == 4).all()
    assert (labels[box] == 9).sum() == labels[box].size - 1
