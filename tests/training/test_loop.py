import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg import io
from napari_medseg.errors import Cancelled, ConfigError, DeviceError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Preview, Saved, Step
from napari_medseg.training import LabelsChanged, RunFolder, ShowSlice, Stop, TrainResult, train
from napari_medseg.training.jobs import train_run
from napari_medseg.training.learner import Learner

MakeRun = Callable[..., RunFolder]


def result_of(events: list[Event]) -> TrainResult:
    assert isinstance(events[-1], Finished)
    assert isinstance(events[-1].result, TrainResult)
    return events[-1].result


def of_kind(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_it_learns_and_the_bundle_predicts(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(steps=80, learning_rate=0.02, validate_every=40, batch_size=2)
    events = list(train(run))
    steps = of_kind(events, Step)
    assert [step.step for step in steps] == list(range(1, 81))
    assert {step.steps for step in steps} == {80}
    assert np.mean([step.loss for step in steps[-10:]]) < 0.5 * np.mean([step.loss for step in steps[:10]])
    scores = of_kind(events, EpochEnd)
    assert [score.step for score in scores] == [8, 40, 80]
    assert scores[-1].dice.keys() == {"shell", "core"}

    result = result_of(events)
    bundle = Bundle.load(result.bundle)
    assert result.measured is not None
    assert bundle.spec.metrics == result.measured.metrics
    assert result.dice == result.measured.dice
    assert len(bundle.spec.training_data) == 1
    image = io.read(tmp_path / "head.medvol")[0]
    *_, finished = predict(image, bundle, PredictOptions(device="cpu"))
    labels = finished.result.label_map.labels  # type: ignore[attr-defined]
    truth = np.load(tmp_path / "strokes.medvol" / "data.npy")
    painted = (truth > 0) & (truth < 255)
    assert (labels[painted] == truth[painted]).mean() > 0.9
    assert set(np.unique(labels)) <= {0, 1, 7}


def test_everything_that_happened_is_in_the_log(make_run: MakeRun) -> None:
    run = make_run()
    events = list(train(run))
    logged = [json.loads(line)["event"] for line in run.events.read_text().splitlines()]
    assert logged == [type(event).__name__ for event in events]


def test_the_same_seed_gives_the_same_weights(make_run: MakeRun) -> None:
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run = make_run(name, seed=seed)
        list(train(run))
        weights.append(Bundle.load(run.bundle).state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_previews_and_scores_do_not_change_what_is_learned(make_run: MakeRun) -> None:
    control = Control()
    control.send(ShowSlice("head", 0, 9))
    shown, plain = make_run("shown", preview_hz=2), make_run("plain")
    events = list(train(shown, control))
    list(train(plain))
    assert of_kind(events, Preview)
    first, second = (torch.load(run.last, weights_only=True)["network"] for run in (shown, plain))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("axis", "index", "shape"), [(0, 9, (28, 24)), (1, 27, (20, 24)), (2, 0, (20, 28))])
def test_a_preview_shows_the_slice_that_was_asked_for(
    make_run: MakeRun, axis: int, index: int, shape: tuple[int, int]
) -> None:
    control = Control()
    control.send(ShowSlice("head", axis, index))
    preview = of_kind(list(train(make_run(preview_hz=2), control)), Preview)[0]
    assert (preview.sample, preview.axis, preview.index) == ("head", axis, index)
    assert preview.labels.shape == shape
    assert set(np.unique(preview.labels)) <= {0, 1, 7}


@pytest.mark.parametrize("view", [ShowSlice("nobody", 0, 0), ShowSlice("head", 3, 0), ShowSlice("head", 0, 20)])
def test_a_slice_that_does_not_exist_is_not_shown(make_run: MakeRun, view: ShowSlice) -> None:
    control = Control()
    control.send(view)
    assert not of_kind(list(train(make_run(preview_hz=2), control)), Preview)


def test_previews_come_at_most_so_often(make_run: MakeRun) -> None:
    control = Control()
    control.send(ShowSlice("head", 0, 9))
    started = time.monotonic()
    events = list(train(make_run(preview_hz=2, steps=40), control))
    assert len(of_kind(events, Preview)) <= 1 + 2 * (time.monotonic() - started)


def test_stop_keeps_the_model_and_finishes(make_run: MakeRun) -> None:
    run, control = make_run(steps=1000), Control()
    events = []
    for event in train(run, control):
        events.append(event)
        if isinstance(event, Step) and event.step == 4:
            control.send(Stop())
    result = result_of(events)
    assert result.stopped
    assert result.step == 4  # scored at the end, as nothing was before
    assert of_kind(events, Step)[-1].step == 4
    Bundle.load(result.bundle).network()


def test_stop_is_heard_while_paused(make_run: MakeRun) -> None:
    run, control = make_run(steps=1000), Control()
    events = []
    for event in train(run, control):
        events.append(event)
        if isinstance(event, Step) and event.step == 2:
            control.pause()
            threading.Timer(0.3, lambda: control.send(Stop())).start()
    assert result_of(events).stopped
    assert of_kind(events, Step)[-1].step == 2


def test_a_pause_does_not_count_as_training_time(make_run: MakeRun) -> None:
    run, control = make_run(steps=3), Control()
    events = []
    for event in train(run, control):
        events.append(event)
        if isinstance(event, Step) and event.step == 1:
            control.pause()
            threading.Timer(1.5, control.resume).start()
    steps = of_kind(events, Step)
    assert steps[1].seconds - steps[0].seconds < 1.0


def test_cancel_takes_effect_within_a_step_and_keeps_the_best_weights(make_run: MakeRun) -> None:
    run, control = make_run(steps=1000), Control()
    events: list[Event] = []

    def cancel_at_step_6() -> None:
        for event in train(run, control):
            events.append(event)
            if isinstance(event, EpochEnd) and event.step == 6:
                control.cancel()

    with pytest.raises(Cancelled):
        cancel_at_step_6()
    assert of_kind(events, Step)[-1].step == 6
    assert not of_kind(events, Finished)
    best = torch.load(run.best, weights_only=True)["network"]
    kept = Bundle.load(run.bundle).state_dict()
    assert all(torch.equal(best[key], kept[key]) for key in best)


def test_before_the_first_step_there_is_nothing_to_keep(make_run: MakeRun) -> None:
    for message in (None, Stop()):
        run, control = make_run(f"run{message}"), Control()
        if message:
            control.send(message)
        else:
            control.cancel()
        with pytest.raises(Cancelled):
            list(train(run, control))
        assert not run.bundle.exists()


def test_strokes_that_are_made_while_training_are_learned(make_run: MakeRun, tmp_path: Path) -> None:
    run, control = make_run(steps=8, hold_out=0), Control()
    array = np.load(tmp_path / "strokes.medvol" / "data.npy", mmap_mode="r+")
    before = np.array(array)
    list(train(run))
    untouched = torch.load(run.last, weights_only=True)["network"]

    again = make_run("again", steps=8, hold_out=0)
    events = []
    for event in train(again, control):
        events.append(event)
        if isinstance(event, Step) and event.step == 2:
            array[9, 10:18, 8:16] = 1
            array.flush()
            control.send(LabelsChanged("head", (9, 10, 8), (10, 18, 16)))
    array[:] = before
    changed = torch.load(again.last, weights_only=True)["network"]
    assert not of_kind(events, Note)[1:]
    assert not all(torch.equal(untouched[key], changed[key]) for key in untouched)


@pytest.mark.parametrize("value", [3, 0])
def test_edits_that_cannot_be_used_are_reported_and_training_goes_on(
    make_run: MakeRun, tmp_path: Path, value: int
) -> None:
    run, control = make_run(), Control()
    events = []
    for event in train(run, control):
        events.append(event)
        if isinstance(event, Step) and event.step == 2:
            array = np.load(tmp_path / "strokes.medvol" / "data.npy", mmap_mode="r+")
            array[:] = value
            array.flush()
            control.send(LabelsChanged("head"))
    notes = [note for note in of_kind(events, Note) if "not used" in note.text]
    assert len(notes) == 1
    assert result_of(events).step


def test_a_time_budget_becomes_a_number_of_steps_that_replays_it(make_run: MakeRun) -> None:
    timed = make_run("timed", minutes=0.05)
    started = time.monotonic()
    result = result_of(list(train(timed)))
    assert time.monotonic() - started < 20
    assert result.steps > 8
    replayed = make_run("replayed", steps=result.steps)
    list(train(replayed))
    first, second = (torch.load(run.last, weights_only=True)["network"] for run in (timed, replayed))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_loss_that_is_not_a_number_is_an_error_with_a_remedy(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learner, "step", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(ConfigError, match="nan at step 1") as error:
        list(train(make_run()))
    assert "learning rate" in error.value.remedy


def test_when_memory_runs_short_the_batch_and_then_the_patch_shrink(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Learner._forward
    seen: list[tuple[int, ...]] = []

    def limited(self: Learner, batch: object) -> object:
        seen.append(tuple(batch.image.shape))  # type: ignore[attr-defined]
        if seen[-1][0] * np.prod(seen[-1][2:]) > 16**3:
            raise torch.OutOfMemoryError
        return original(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "_forward", limited)
    events = list(train(make_run(batch_size=2, patch_size=(16, 32, 16), steps=4)))
    notes = [note.text for note in of_kind(events, Note) if "Memory" in note.text]
    assert [shape[0] for shape in seen[:3]] == [2, 1, 1]
    assert seen[2][2:] == (16, 16, 16)
    assert len(notes) == 2
    assert "1 patches of 16 x 16 x 16" in notes[1]
    assert of_kind(events, Step)[-1].step == 4


def test_memory_that_is_too_small_for_anything_is_an_error(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Learner, "_backward", never)
    with pytest.raises(DeviceError, match="too small"):
        list(train(make_run()))


def test_without_validation_the_last_weights_are_kept(make_run: MakeRun) -> None:
    run = make_run(hold_out=0)
    events = list(train(run))
    assert {score.dice for score in of_kind(events, EpochEnd)} == {None}
    assert any("not validated" in note.text for note in of_kind(events, Note))
    result = result_of(events)
    assert result.dice is None
    assert result.step == 6
    last = torch.load(run.last, weights_only=True)["network"]
    kept = Bundle.load(run.bundle).state_dict()
    assert all(torch.equal(last[key], kept[key]) for key in last)


def test_planes_are_learned_by_a_network_for_planes(make_run: MakeRun) -> None:
    run = make_run(dims=2, precision="bfloat16")
    result = result_of(list(train(run)))
    assert Bundle.load(result.bundle).spec.dims == 2


def test_as_a_job_the_last_step_and_the_end_always_arrive(make_run: MakeRun) -> None:
    events = list(train_run(Control(), make_run().path))
    assert of_kind(events, Step)[-1].step == 6
    assert of_kind(events, Saved)[-1].what == "bundle"
    assert result_of(events).steps == 6


def test_late_steps_learn_with_the_statistics_that_prediction_uses(make_run: MakeRun) -> None:
    options = {"features": 4, "max_stages": 3, "norm": "batch"}
    spec = make_run("other").load().spec.model_copy(update={"architecture": "dynunet", "options": options})
    run = make_run(spec=spec, steps=30, checkpoint_seconds=0)
    statistics = []
    for event in train(run):
        if isinstance(event, Saved) and event.what == "checkpoint":
            network = torch.load(run.last, weights_only=True)["network"]
            statistics.append(torch.cat([v for key, v in network.items() if key.endswith("running_mean")]))
    first_settled = 12
    assert not torch.equal(statistics[first_settled - 2], statistics[first_settled - 1])
    assert all(torch.equal(statistics[first_settled - 1], later) for later in statistics[first_settled:])
