"""A run that is done again ends with the same weights, whatever happened while it ran."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.io import read, write
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Step
from napari_medseg.training import LabelsChanged, RunFolder, Stop, create_run, train
from napari_medseg.training.checkpoint import load_content
from napari_medseg.training.journal import read_journal
from napari_medseg.training.replay import Script, replay

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def live_run(make_run: MakeRun, tmp_path: Path) -> MakeRun:
    """Return a function that lays out a run whose labels lie in its folder, as those of the viewer do."""

    def make(name: str = "live", **settings: object) -> RunFolder:
        made = make_run(f"{name}-outside", **settings)
        config = made.load()
        case = config.cases[0]
        folder = tmp_path / name
        labels = write(read(case.labels)[0], folder / "labels.medvol")
        return create_run(folder, config.spec, [case.model_copy(update={"labels": labels})], config.train)

    return make


def paint(run: RunFolder, control: Control, z: int, value: int = 1, size: int = 8) -> None:
    """Paint a bar into the run's label map, and say so."""
    labels = np.load(run.load().cases[0].labels / "data.npy", mmap_mode="r+")
    labels[z, 4 : 4 + size, 5:9] = value
    control.send(LabelsChanged("head", (z, 4, 5), (z + 1, 4 + size, 9)))


def follow(run: RunFolder, acts: dict[int, Callable[[Control], None]], **options: bool) -> list[Event]:
    """Train, and act once so many steps were taken; act 0 comes while the cases are read."""
    control, events = Control(), []
    acts = dict(acts)
    if 0 in acts:
        acts.pop(0)(control)
    try:
        for event in train(run, control, **options):
            events.append(event)
            if isinstance(event, (Step, EpochEnd)) and event.step in acts:
                acts.pop(event.step)(control)
    except Cancelled:
        pass
    assert not acts
    return events


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return Bundle.load(run.bundle).state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def again(run: RunFolder, folder: Path) -> RunFolder:
    """Replay a run, check that its replay says to have the same weights, and return it."""
    events = list(replay(run, folder, Script()))
    assert isinstance(events[-1], Finished)
    assert Note("The weights are those of the run, bit by bit.") in events
    return RunFolder(folder)


def test_edits_in_the_middle_come_again_at_their_steps(live_run: MakeRun, tmp_path: Path) -> None:
    settings = {"minutes": 1.0, "validate_every": 4, "teacher": True}
    run = live_run(**settings)
    follow(
        run,
        {
            0: lambda c: paint(run, c, 3),
            3: lambda c: paint(run, c, 8, 7),
            9: lambda c: (paint(run, c, 9, 255), paint(run, c, 10))[0],
            11: lambda c: c.send(Stop()),
        },
    )
    records = read_journal(run)
    assert [edit.step for edit in records[0].edits] == [0, 3, 9, 9]
    assert records[0].ended == 11
    assert equal(weights(run), weights(again(run, tmp_path / "again")))


def test_a_run_that_was_interrupted_twice(live_run: MakeRun, tmp_path: Path) -> None:
    run = live_run(steps=9, checkpoint_seconds=0)
    control = Control()
    for event in train(run, control):
        if isinstance(event, Step) and event.step == 2:
            paint(run, control, 8, 7)
        if isinstance(event, Step) and event.step == 4:
            break  # a crash: the checkpoint of this step is not written
    paint(run, Control(), 5)  # while nothing ran
    follow(run, {6: lambda c: c.cancel()}, resume=True)
    follow(run, {7: lambda c: paint(run, c, 12, 255)}, resume=True)
    assert [record.step for record in read_journal(run)] == [0, 3, 6]
    assert equal(weights(run), weights(again(run, tmp_path / "again")))


def test_a_cancelled_run_has_its_weights_again(live_run: MakeRun, tmp_path: Path) -> None:
    run = live_run(steps=20)
    follow(run, {2: lambda c: paint(run, c, 8, 7), 4: lambda c: c.cancel()})
    assert equal(weights(run), weights(again(run, tmp_path / "again")))
    # it is the edit that counts
    quiet = live_run("quiet", steps=20)
    follow(quiet, {4: lambda c: c.cancel()})
    assert not equal(load_content(run.last)["network"], load_content(quiet.last)["network"])


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_sketch_that_learnt_stroke_by_stroke(
    live_run: MakeRun, sketch_spec: ModelSpec, tmp_path: Path, cancelled: bool
) -> None:
    run = live_run(spec=sketch_spec)
    follow(
        run,
        {
            1: lambda c: paint(run, c, 8, 7),
            2: lambda c: c.cancel() if cancelled else c.send(Stop()),
        },
        live=True,
    )
    assert len(read_journal(run)[0].edits) == 1
    assert equal(weights(run), weights(again(run, tmp_path / "again")))


def test_a_run_from_the_command_line_refers_to_its_files(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    list(train(run))
    assert not read_journal(run)[0].kept
    assert equal(weights(run), weights(again(run, tmp_path / "again")))


@pytest.mark.parametrize(("what", "words"), [("image", "image of the case head"), ("labels", "label map of the case")])
def test_other_files_than_were_trained_on_are_refused(make_run: MakeRun, tmp_path: Path, what: str, words: str) -> None:
    run = make_run()
    list(train(run))
    data = np.load(getattr(run.load().cases[0], what) / "data.npy", mmap_mode="r+")
    data[4, 3, 3] = 7
    data.flush()
    with pytest.raises(ConfigError, match=words):
        list(replay(run, tmp_path / "again", Script()))


def test_what_has_not_begun_or_is_gone_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    with pytest.raises(ConfigError, match="has no journal"):
        list(replay(run, tmp_path / "again", Script()))
    list(train(run))
    run.journal.write_text('{"kind": "edit"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="damaged"):
        list(replay(run, tmp_path / "again", Script()))


def test_a_folder_that_was_moved_is_found(live_run: MakeRun, tmp_path: Path) -> None:
    run = live_run()
    list(train(run))
    moved = RunFolder(run.path.rename(tmp_path / "elsewhere"))
    again(moved, tmp_path / "again")
