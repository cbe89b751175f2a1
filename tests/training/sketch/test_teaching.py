"""The pixel classifier as the first teacher of a network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg.data.patches import TAUGHT, PatchSampler
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.ensemble import trainable
from napari_medseg.prediction import ProbabilityMap
from napari_medseg.progress import Control, Finished, Note, Preview
from napari_medseg.tasks import UNLABELLED, task_named
from napari_medseg.training import RunFolder, ShowSlice, TrainConfig, TrainResult, train
from napari_medseg.training.learner import Batch, Learner, Pace
from napari_medseg.training.opening import open_session
from napari_medseg.training.session import Session
from napari_medseg.training.sketch.teaching import Teaching
from napari_medseg.training.sketch.tuning import Tuned
from napari_medseg.training.validation import Score
from napari_medseg.volume import Volume

MakeRun = Callable[..., RunFolder]


def opened(run: RunFolder) -> Session:
    steps = open_session(run, Control(), resume=False)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            session = end.value
            assert isinstance(session, Session)
            return session


def taught(session: Session) -> Teaching:
    assert session.teaching is not None
    return session.teaching


def probabilities_of(image: Volume, bundle: Bundle) -> np.ndarray:
    *_, last = predict(image, bundle, PredictOptions(device="cpu", probabilities=True))
    assert isinstance(last, Finished)
    (found,) = (output for output in last.result.outputs if isinstance(output, ProbabilityMap))
    return np.asarray(found.probabilities)


def test_the_teacher_is_mostly_right_where_it_is_sure_and_never_overrules_a_stroke(
    make_run: MakeRun, head_truth: np.ndarray
) -> None:
    session = opened(make_run(teacher=True, hold_out=0))
    (case,) = session.cases
    filled = taught(session).fill(0, case.sample.target)
    painted = case.sample.target != UNLABELLED
    np.testing.assert_array_equal(filled[painted], case.sample.target[painted])
    sure = filled >= TAUGHT
    assert sure.mean() > 0.8
    truth = case.sample.grid.apply(np.searchsorted([0, 1, 7], head_truth))
    assert (filled[sure] - TAUGHT == truth[sure]).mean() > 0.98
    assert set(np.unique(filled)) <= {UNLABELLED, 0, 1, 2, TAUGHT, TAUGHT + 1, TAUGHT + 2}


def test_what_is_held_out_is_hidden_from_the_teacher_as_well(make_run: MakeRun) -> None:
    session = opened(make_run(teacher=True, hold_out=0.2))
    (case,) = session.cases
    held = session.held_out.validation_target(case.sample)
    assert held is not None
    target = session.held_out.training_target(case.sample)
    assert (target[held != UNLABELLED] == UNLABELLED).all()
    assert taught(session).score is not None


def test_that_whole_slices_need_no_labels_of_a_teacher_but_are_compared_with_it(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_medseg.training.sketch.teaching.ENOUGH_VOXELS", 50)
    session = opened(make_run(teacher=True, hold_out=0.2))
    target = session.held_out.training_target(session.cases[0].sample)
    assert (target != UNLABELLED).sum() >= 50
    np.testing.assert_array_equal(taught(session).fill(0, target), target)
    assert taught(session).score is not None


@pytest.mark.parametrize("settings", [{"teacher": False}, {"teacher": True, "init": True}])
def test_no_teacher_where_it_is_not_wanted_or_a_model_is_trained_further(
    make_run: MakeRun, settings: dict[str, bool]
) -> None:
    init = None
    if settings.pop("init", False):
        events = list(train(make_run("first", steps=3)))
        assert isinstance(events[-1], Finished)
        assert isinstance(events[-1].result, TrainResult)
        init = events[-1].result.bundle
    assert opened(make_run("second", init=init, **settings)).teaching is None


@pytest.mark.parametrize(("wide", "axes"), [(False, (0, 1, 2)), (True, ())])
def test_nothing_is_mirrored_where_it_takes_the_context_to_tell_the_classes(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, wide: bool, axes: tuple[int, ...]
) -> None:
    monkeypatch.setattr("napari_medseg.training.sketch.teaching.tune", lambda *_: Tuned(wide))
    assert opened(make_run(teacher=True)).batches.augmentation.flip_axes == axes


def test_half_of_the_patches_lie_around_what_the_teacher_labelled() -> None:
    target = np.full((40, 40, 40), -1, np.int16)
    target[2, 2, 2], target[2, 2, 4] = 0, 1
    target[35, 35, 35] = TAUGHT + 1
    sampler = PatchSampler([target], 2)
    rng = np.random.default_rng(0)
    far = [min(sampler.draw(rng, (4, 4, 4)).start) > 20 for _ in range(2000)]
    # class 1 is drawn half of the time, and half of those from the teacher; class 0 has none
    assert np.mean(far) == pytest.approx(0.25, abs=0.03)


def test_loss_is_that_of_the_strokes_plus_that_of_all(sketch_spec: ModelSpec) -> None:
    spec = sketch_spec.model_copy(
        update={"architecture": "unet", "options": {"features": 4, "stages": 2, "residual_units": 1}}
    )
    config = TrainConfig(precision="float32", device="cpu")
    task = task_named("segmentation")
    image = torch.randn(1, 1, 16, 16, 16)
    target = torch.full((1, 16, 16, 16), UNLABELLED)
    target[0, :2], target[0, 8:10] = 1, TAUGHT + 2
    learner = Learner(spec, task, config, torch.device("cpu"))
    with torch.no_grad():
        logits = learner.network(image)
    strokes, all_of_it = target.clone(), target.clone()
    strokes[target >= TAUGHT] = UNLABELLED
    all_of_it[target >= TAUGHT] = 2
    wanted = task.loss(logits, strokes) + task.loss(logits, all_of_it)
    torch.testing.assert_close(learner.step(Batch(image, target), Pace(0.0), 0), wanted)


def test_the_better_of_teacher_and_network_is_shown_and_kept(make_run: MakeRun) -> None:
    control = Control()
    control.send(ShowSlice("head", 0, 9))
    run = make_run(teacher=True, hold_out=0.2, steps=2, preview_hz=2, learning_rate=1e-6)
    events = list(train(run, control))
    result = events[-1].result  # type: ignore[attr-defined]
    assert isinstance(result, TrainResult)
    assert Bundle.load(result.bundle).spec.architecture == "sketch"
    assert any("Kept is the sketch: Dice" in event.text for event in events if isinstance(event, Note))
    previews = [event for event in events if isinstance(event, Preview)]
    # a network of two tiny steps would not find both materials
    assert set(np.unique(previews[0].labels)) == {0, 1, 7}
    assert result.dice is not None
    assert min(result.dice.values()) > 0.8


def test_the_network_is_shown_alone_once_it_is_clearly_ahead_on_much(make_run: MakeRun) -> None:
    session = opened(make_run(teacher=True, hold_out=0.2))
    score = Score({"shell": 0.7, "core": 0.9}, voxels=120)
    session.teaching = replace(taught(session), score=score)
    assert session.sketch_score == pytest.approx(0.8)
    # two standard errors, as of ten independent voxels: strokes are twelve voxels long; ten of fourteen count as right
    assert session.margin == pytest.approx(2 * (10 / 14 * 4 / 14 / 10) ** 0.5)
    assert session.shown == "sketch"
    session.state.best_score = session.state.blend_score = score.mean
    assert session.shown == "blend"
    session.state.best_score = 1.0
    much = replace(score, voxels=30_000)
    assert session.shown == "blend"
    session.teaching = replace(session.teaching, score=much)
    assert session.shown == "network"
    session.state.best_score = score.mean + 0.9 * session.margin
    assert session.shown == "blend"
    session.state.blend_score = score.mean - 0.6 * session.margin
    assert session.shown == "sketch"


def test_both_together_are_one_model_that_goes_on_as_a_network(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_medseg.training.session.winner", lambda *_: "blend")
    control = Control()
    control.send(ShowSlice("head", 0, 9))
    run = make_run(teacher=True, hold_out=0.2, steps=2, preview_hz=2, learning_rate=1e-6)
    events = list(train(run, control))
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews[0].shown.startswith("network and sketch together: Dice")
    assert any("Kept is the network and sketch together" in event.text for event in events if isinstance(event, Note))
    both = Bundle.load(run.bundle)
    assert [member.spec.architecture for member in both.members] == [trainable(both).spec.architecture, "sketch"]
    assert both.spec.metrics

    # what the model gives is the mean of what its two parts give, the network's softened
    image = read(run.load().cases[0].image)[0]
    found = [probabilities_of(image, bundle) for bundle in (both, *both.members)]
    soft = found[1] ** 0.25 / (found[1] ** 0.25).sum(axis=0)
    np.testing.assert_allclose(found[0], 0.35 * soft + 0.65 * found[2], atol=1e-5)


def test_what_both_together_show_is_what_becomes_the_model(make_run: MakeRun) -> None:
    # with nothing held out, so that no strokes are learnt at the end that were not learnt before
    control = Control()
    control.send(ShowSlice("head", 0, 9))
    run = make_run(teacher=True, hold_out=0, steps=2, preview_hz=2, learning_rate=1e-6)
    shown = [event for event in train(run, control) if isinstance(event, Preview)][-1]
    assert shown.shown.startswith("network and sketch together")
    image = read(run.load().cases[0].image)[0]
    kept = np.take([0, 1, 7], probabilities_of(image, Bundle.load(run.bundle))[:, 9].argmax(axis=0))
    assert (kept == shown.labels).mean() > 0.99


def test_resumed_with_a_teacher_it_ends_as_if_nothing_had_happened(make_run: MakeRun, tmp_path: Path) -> None:
    whole = make_run("whole", teacher=True, steps=6)
    list(train(whole))
    parts = make_run("parts", teacher=True, steps=6, checkpoint_seconds=0)
    for event in train(parts):
        if type(event).__name__ == "Step" and event.step == 3:  # type: ignore[attr-defined]
            break
    list(train(parts, resume=True))
    one, other = (torch.load(run.last, weights_only=True)["network"] for run in (whole, parts))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_erased_strokes_leave_the_sketch_as_it_was(make_run: MakeRun) -> None:
    session = opened(make_run(teacher=True, hold_out=0))
    (case,) = session.cases
    before = {key: value.clone() for key, value in taught(session).network.state_dict().items()}
    # first all but one class, then that as well
    for erased in ([0, 1], [2]):
        case.sample.target[np.isin(case.sample.target, erased)] = UNLABELLED
        for fresh in (False, True):
            taught(session).relearn(session.cases, 0, fresh)
        after = taught(session).network.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
