import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg.data.split import HeldOut
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Finished, Progress
from napari_medseg.training import RunConfig, RunFolder, TrainResult, train
from napari_medseg.training.checkpoint import load_held_out, save_held_out

MakeRun = Callable[..., RunFolder]


def replacing(run: RunFolder, bundle: Path) -> RunFolder:
    config = RunConfig.model_validate(run.load().model_dump() | {"replaces": bundle})
    run.config.write_text(config.model_dump_json())
    return run


def result_of(run: RunFolder, control: Control | None = None) -> TrainResult:
    *_, last = train(run, control)
    assert isinstance(last, Finished)
    assert isinstance(last.result, TrainResult)
    return last.result


@pytest.fixture
def good(make_run: MakeRun) -> RunFolder:
    """Return a run that has learnt something."""
    run = make_run("good", steps=40, learning_rate=0.02, validate_every=20)
    result_of(run)
    return run


def test_an_untrained_model_does_not_replace_a_trained_one(make_run: MakeRun, good: RunFolder) -> None:
    poor = replacing(make_run("poor", steps=1, learning_rate=1e-6), good.bundle)
    result = result_of(poor)
    assert result.verdict is not None
    assert not result.verdict.accepted
    assert "Worse than head" in result.verdict.reason
    assert result.verdict.forgotten
    written = json.loads(poor.verdict.read_text())
    assert written["accepted"] is False
    assert "Worse than head" in written["text"]


def test_a_trained_model_replaces_an_untrained_one(make_run: MakeRun, good: RunFolder) -> None:
    poor = make_run("poor", steps=1, learning_rate=1e-6)
    result_of(poor)
    again = replacing(make_run("again", init=good.bundle, steps=2, learning_rate=1e-6), poor.bundle)
    result = result_of(again)
    assert result.verdict is not None
    assert result.verdict.accepted
    assert {change.name for change in result.verdict.held_out} <= {"shell", "core"}
    assert all(change.after >= change.before for change in result.verdict.labelled)


def test_a_model_compared_with_itself_is_equal_on_every_voxel(make_run: MakeRun, good: RunFolder) -> None:
    same = replacing(make_run("same", init=good.bundle, steps=1, learning_rate=1e-12, weight_decay=0.0), good.bundle)
    result = result_of(same)
    assert result.verdict is not None
    assert result.verdict.accepted
    assert result.verdict.difference == pytest.approx(0, abs=1e-6)
    for change in (*result.verdict.held_out, *result.verdict.labelled):
        assert change.after == pytest.approx(change.before, abs=1e-6)
    # as training measured it, which saw every held-out voxel of so small an image
    assert result.measured is not None
    for change in result.verdict.held_out:
        assert change.after == pytest.approx(result.measured.classes[change.name].dice, abs=0.01)


def test_only_what_was_labelled_before_tells_of_forgetting(make_run: MakeRun, good: RunFolder) -> None:
    masks = load_held_out(good.labelled).masks
    only = np.zeros_like(masks["head"])
    target = masks["head"]
    only[tuple(np.argwhere(target)[0])] = True
    save_held_out(good.labelled, HeldOut({"head": only}, "labelled"))
    run = replacing(make_run("next", steps=1), good.bundle)
    verdict = result_of(run).verdict
    assert verdict is not None
    assert len(verdict.labelled) <= 1


def test_a_model_that_cannot_be_read_is_not_replaced_unseen(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    assert result_of(replacing(make_run("first", steps=1), tmp_path / "gone")).verdict is None
    run = replacing(make_run("new", steps=1), tmp_path / "damaged")
    verdict = result_of(run).verdict
    assert verdict is not None
    assert not verdict.accepted
    assert "cannot be compared" in verdict.reason
    Bundle.load(run.bundle)


def test_the_comparison_says_how_far_it_is(make_run: MakeRun, good: RunFolder) -> None:
    events = list(train(replacing(make_run("next", steps=1), good.bundle)))
    stages = [event for event in events if isinstance(event, Progress) and "Comparing" in event.stage]
    assert [event.done for event in stages] == [0, 1, 2]
    assert {event.total for event in stages} == {3}
    assert torch.is_grad_enabled()


def test_cases_that_are_not_trained_on_count_too(make_run: MakeRun, good: RunFolder) -> None:
    """Voxels of a checked case are compared with what both models say there, and with nothing held out."""
    good.labelled.unlink()
    plain = replacing(make_run("plain", init=good.bundle, steps=1, learning_rate=1e-12), good.bundle)
    checked = replacing(make_run("checked", init=good.bundle, steps=1, learning_rate=1e-12), good.bundle)
    config = checked.load()
    (case,) = config.cases
    twice = config.model_copy(update={"checked": (case.model_copy(update={"id": "beside"}),)})
    checked.config.write_text(twice.model_dump_json())
    one, other = result_of(plain).verdict, result_of(checked).verdict
    assert one is not None
    assert other is not None
    assert other.held_out == one.held_out
    assert other.units == one.units
    # the same voxels once more, with those that are held out of the first copy
    assert {change.name for change in other.labelled} == {"shell", "core"}
    assert other.labelled != one.labelled


def test_what_was_labelled_is_also_found_in_the_models_own_folder(make_run: MakeRun, good: RunFolder) -> None:
    masks = load_held_out(good.labelled).masks
    good.labelled.rename(good.bundle / good.labelled.name)
    save_held_out(good.labelled, HeldOut({"head": np.zeros_like(masks["head"])}, "labelled"))
    same = replacing(make_run("same", init=good.bundle, steps=1, learning_rate=1e-12), good.bundle)
    verdict = result_of(same).verdict
    assert verdict is not None
    assert verdict.labelled, "the file beside the model comes first"
