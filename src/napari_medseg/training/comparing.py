"""Scoring a new and an earlier model on the same voxels, so that `gate` can judge."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg import io
from napari_medseg.data.split import HeldOut, hold_out
from napari_medseg.errors import Cancelled, MedsegError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.models import Bundle
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.tasks import UNLABELLED, Task, task_named
from napari_medseg.training.atomic import write_text
from napari_medseg.training.checkpoint import load_held_out, save_held_out
from napari_medseg.training.gate import Scores, Verdict, judge
from napari_medseg.training.prepare import LoadedCase, load_case
from napari_medseg.training.run import RunFolder
from napari_medseg.training.transfer import common_classes
from napari_medseg.training.validation import Overlaps, count_overlaps

STAGE = "Comparing with the model before"


@dataclass(eq=False)
class _Counts:
    """What one model has in common with the truth so far."""

    bundle: Bundle
    indices: dict[int, int]
    """Class index of the new model by label value of this one."""
    labelled: NDArray[np.int64]
    held_out: Overlaps = field(default_factory=dict)


def save_labelled(run: RunFolder, cases: Sequence[LoadedCase]) -> None:
    """Write down which voxels a human had labelled, for the comparison with a later model."""
    save_held_out(run.labelled, HeldOut({case.case.id: case.sample.target != UNLABELLED for case in cases}, "labelled"))


def compare(run: RunFolder, control: Control) -> Generator[Event, None, Verdict]:
    """Compare the model of a run with the one that it is to replace, and write the verdict into the run's folder.

    Parameters
    ----------
    run : RunFolder
        Finished; its configuration names the earlier model.
    control : Control
        Cancels.

    Yields
    ------
    Event
        `Progress`.

    Returns
    -------
    Verdict
        A refusal if they cannot be compared.
    """
    config = run.load()
    assert config.replaces is not None
    try:
        earlier = Bundle.load(config.replaces)
        verdict = yield from _compare(run, earlier, control)
    except Cancelled:
        raise
    except MedsegError as error:
        verdict = Verdict(False, f"It cannot be compared with the model before: {error}", config.replaces.name)
    write_text(run.verdict, verdict_text(verdict))
    return verdict


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict as JSON."""
    import json
    from dataclasses import asdict

    return json.dumps(asdict(verdict) | {"text": str(verdict)}, indent=1, ensure_ascii=False)


def _compare(run: RunFolder, earlier: Bundle, control: Control) -> Generator[Event, None, Verdict]:
    config, new = run.load(), Bundle.load(run.bundle)
    classes, task = config.spec.classes, task_named(config.spec.task)
    pairs = common_classes(earlier.spec.classes, classes)
    common = [after for _, after in pairs]
    nothing = np.zeros((len(classes), 3), np.int64)
    old_values = {earlier.spec.classes[before].value: after for before, after in pairs}
    models = (
        _Counts(earlier, old_values, nothing.copy()),
        _Counts(new, {c.value: index for index, c in enumerate(classes)}, nothing.copy()),
    )
    cases = []
    wanted = (*config.cases, *config.checked)
    for done, case in enumerate(wanted):
        control.checkpoint()
        yield Progress(STAGE, done, 3 * len(wanted))
        cases.append(load_case(case, config.spec))
    held_out = _held_out(run, cases[: len(config.cases)])
    before = _labelled_before(run, cases, held_out)
    for done, loaded in enumerate(cases):
        target = loaded.sample.target
        target[~np.isin(target, common)] = UNLABELLED
        for position, counts in enumerate(models):
            yield Progress(STAGE, len(cases) + 2 * done + position, 3 * len(cases))
            _count(counts, loaded, held_out, before[loaded.case.id], (task, config.train.device, control))
    old, fresh = (
        Scores({key: found[common] for key, found in counts.held_out.items()}, counts.labelled[common])
        for counts in models
    )
    return judge(earlier.spec.name, old, fresh, [classes[index].name for index in common])


def _count(
    counts: _Counts,
    case: LoadedCase,
    held_out: HeldOut,
    before: NDArray[np.bool_],
    how: tuple[Task, str, Control],
) -> None:
    task, device, control = how
    target = case.sample.target
    if not (target != UNLABELLED).any():
        return
    labels = _labels(counts.bundle, case, PredictOptions(device=device, region=_region(case)), control)
    values = case.sample.grid.apply(labels)
    predicted = np.zeros(values.shape, np.int16)
    for value, index in counts.indices.items():
        predicted[values == value] = index
    count_overlaps(counts.held_out, held_out, case.sample, predicted, task)
    counts.labelled += task.overlaps(predicted, np.where(before, target, UNLABELLED), len(counts.labelled))


def _labels(bundle: Bundle, case: LoadedCase, options: PredictOptions, control: Control) -> NDArray[np.integer]:
    """Return a model's labels on the image's own grid."""
    (image,) = io.read(case.case.image, suv=True)
    for event in predict(image, bundle, options, control):
        if isinstance(event, Finished):
            assert isinstance(event.result, Prediction)
            return next(output.labels for output in event.result.outputs if isinstance(output, LabelMap))
    raise Cancelled


def _region(case: LoadedCase) -> tuple[tuple[int, int], ...] | Path:
    """Return where to predict: at strokes, or else in the box of an image's array that holds all labelled voxels."""
    if case.case.scheme == "sparse":
        return case.case.labels
    grid, known = case.sample.grid, case.sample.target != UNLABELLED
    box: dict[int, tuple[int, int]] = {}
    for axis, (own, indices) in enumerate(zip(grid.axes, grid.indices, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        found = indices[known.any(axis=others)]
        found = found[found >= 0]
        box[own] = int(found.min()), int(found.max()) + 1
    return tuple(box[own] for own in range(3))[-len(grid.shape) :]


def _held_out(run: RunFolder, cases: Sequence[LoadedCase]) -> HeldOut:
    if run.held_out.exists():
        return load_held_out(run.held_out)
    config = run.load().train
    return hold_out([case.sample for case in cases], config.hold_out, config.seed)


def _labelled_before(run: RunFolder, cases: Sequence[LoadedCase], held_out: HeldOut) -> dict[str, NDArray[np.bool_]]:
    """Return the voxels that were labelled when the earlier model was made; all that are not held out if unknown."""
    config = run.load()
    assert config.replaces is not None
    beside = (RunFolder(folder).labelled for folder in (config.replaces, config.replaces.parent))
    kept = next((path for path in beside if path.exists()), None)
    masks = load_held_out(kept).masks if kept is not None else {}
    known = {case.case.id: masks.get(case.case.id) for case in cases}
    return {
        case.case.id: mask
        if (mask := known[case.case.id]) is not None and mask.shape == case.sample.target.shape
        else held_out.training_target(case.sample) != UNLABELLED
        for case in cases
    }
