"""The pixel classifier as a run: once, live, stopped, cancelled."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from napari_medseg import io
from napari_medseg.errors import Cancelled, DataError
from napari_medseg.evaluate import dice
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Preview
from napari_medseg.training import LabelsChanged, RunFolder, ShowSlice, Stop, TrainResult, train

MakeRun = Callable[..., RunFolder]
EventT = TypeVar("EventT", bound=Event)


def of_kind(events: list[Event], kind: type[EventT]) -> list[EventT]:
    return [event for event in events if isinstance(event, kind)]


def result_of(events: list[Event]) -> TrainResult:
    assert isinstance(events[-1], Finished)
    assert isinstance(events[-1].result, TrainResult)
    return events[-1].result


def predicted(bundle: Path, image: Path) -> np.ndarray:
    events = list(predict(io.read(image)[0], Bundle.load(bundle), PredictOptions(device="cpu", precision="float32")))
    prediction = events[-1].result  # type: ignore[attr-defined]
    assert isinstance(prediction, Prediction)
    (labels,) = (output for output in prediction.outputs if isinstance(output, LabelMap))
    return labels.labels


def test_a_few_strokes_are_enough_to_find_both_materials(
    make_run: MakeRun, sketch_spec: ModelSpec, head_truth: np.ndarray, tmp_path: Path
) -> None:
    result = result_of(list(train(make_run(spec=sketch_spec, hold_out=0.15))))
    labels = predicted(result.bundle, tmp_path / "head.medvol")
    # the materials differ by seven standard deviations of the noise; what is lost are voxels at the borders
    assert dice(labels == 7, head_truth == 7) > 0.9
    assert dice(labels == 1, head_truth == 1) > 0.9
    assert result.dice is not None
    assert set(result.dice) == {"shell", "core"}


def test_the_same_strokes_give_the_same_weights(make_run: MakeRun, sketch_spec: ModelSpec) -> None:
    first, second = (result_of(list(train(make_run(name, spec=sketch_spec)))) for name in "ab")
    one, other = (Bundle.load(result.bundle).state_dict() for result in (first, second))
    assert all(torch.equal(one[key], other[key]) for key in one)


def live(run: RunFolder, act: Callable[[Event, Control], None], view: ShowSlice) -> list[Event]:
    control, events = Control(), []
    control.send(view)
    for event in train(run, control, live=True):
        events.append(event)
        act(event, control)
    return events


def test_a_stroke_changes_the_slice_in_view(make_run: MakeRun, sketch_spec: ModelSpec, tmp_path: Path) -> None:
    labels = np.load(tmp_path / "strokes.medvol" / "data.npy", mmap_mode="r+")
    labels[labels == 7] = 0
    labels.flush()

    def paint_the_core(event: Event, control: Control) -> None:
        if isinstance(event, Preview) and event.step == 1:
            labels[9, 11:15, 10:14] = 7
            labels.flush()
            control.send(LabelsChanged("head", (9, 11, 10), (10, 15, 14)))
        elif isinstance(event, Preview):
            control.send(Stop())

    events = live(make_run(spec=sketch_spec, hold_out=0), paint_the_core, ShowSlice("head", 0, 9))
    first, second = (preview.labels for preview in of_kind(events, Preview)[:2])
    assert first.shape == second.shape == (28, 24)
    assert not (first == 7).any()
    assert (second[11:15, 10:14] == 7).mean() > 0.9
    result = result_of(events)
    assert result.stopped
    # what is kept does not depend on the order of the strokes, so the run can be replayed
    replayed = result_of(list(train(make_run("replay", spec=sketch_spec, hold_out=0))))
    one, other = (Bundle.load(found.bundle).state_dict() for found in (result, replayed))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("axis", "shape"), [(0, (28, 24)), (1, (20, 24)), (2, (20, 28))])
def test_the_preview_is_what_the_model_predicts(
    make_run: MakeRun, sketch_spec: ModelSpec, tmp_path: Path, axis: int, shape: tuple[int, int]
) -> None:
    def stop(event: Event, control: Control) -> None:
        if isinstance(event, Preview):
            control.send(Stop())

    spec = sketch_spec.model_copy(update={"patch_size": (32, 32, 32)})
    events = live(make_run(spec=spec, hold_out=0), stop, ShowSlice("head", axis, 11))
    preview = of_kind(events, Preview)[-1]
    whole = predicted(result_of(events).bundle, tmp_path / "head.medvol")
    assert preview.labels.shape == shape
    # the features of the preview are kept in half precision
    assert (preview.labels == whole.take(11, axis=axis)).mean() > 0.98


def test_planes_are_classified_slice_by_slice(
    make_run: MakeRun, sketch_spec: ModelSpec, head_truth: np.ndarray, tmp_path: Path
) -> None:
    spec = sketch_spec.model_copy(update={"options": {"spacing": [1.0, 1.5]}})
    result = result_of(list(train(make_run(spec=spec, dims=2))))
    labels = predicted(result.bundle, tmp_path / "head.medvol")
    assert dice(labels == 7, head_truth == 7) > 0.8


def test_one_class_alone_is_not_learnt_and_said(make_run: MakeRun, sketch_spec: ModelSpec, tmp_path: Path) -> None:
    labels = np.load(tmp_path / "strokes.medvol" / "data.npy", mmap_mode="r+")
    labels[labels != 1] = 0
    labels.flush()
    with pytest.raises(DataError, match="nothing to learn"):
        list(train(make_run(spec=sketch_spec)))

    def stop(event: Event, control: Control) -> None:
        if isinstance(event, Note) and "one class" in event.text:
            labels[9, 11:15, 10:14] = 7
            labels.flush()
            control.send(LabelsChanged("head", (9, 11, 10), (10, 15, 14)))
        elif isinstance(event, EpochEnd):
            control.send(Stop())

    events = live(make_run("live", spec=sketch_spec), stop, ShowSlice("head", 0, 9))
    assert result_of(events).bundle.is_dir()


def test_cancelled_it_keeps_what_it_has_learnt(make_run: MakeRun, sketch_spec: ModelSpec) -> None:
    run = make_run(spec=sketch_spec)
    with pytest.raises(Cancelled):
        live(
            run,
            lambda event, control: control.cancel() if isinstance(event, EpochEnd) else None,
            ShowSlice("head", 0, 9),
        )
    assert Bundle.load(run.bundle).spec.architecture == "sketch"
