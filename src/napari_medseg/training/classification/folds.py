"""Cross-validation: every image is judged by a model that was trained without it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_medseg.data.labelled import find_labelled, split_folds
from napari_medseg.errors import ConfigError
from napari_medseg.evaluate.classification import ClassificationReport, evaluate_classification
from napari_medseg.evaluate.tables import Answers
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event, Finished, Note
from napari_medseg.training.atomic import write_text
from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.classification.request import create_classification
from napari_medseg.training.classification.survey import survey
from napari_medseg.training.run import RunFolder


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation found."""

    report: ClassificationReport
    """Scores of all images together."""
    predictions: Path
    """Table of the probabilities, each from the model that did not see the image."""
    bundles: tuple[Path, ...]
    """The models, one per fold."""


def cross_validation(
    folder: Path,
    sources: tuple[Path, Path | None],
    config: ClassificationConfig,
    folds: int,
    control: Control | None = None,
) -> Iterator[Event]:
    """Train a model for each fold, and predict on what it did not see.

    Images of one patient, and equal images, are in one fold; every class is spread over all folds. Folds that were
    finished before are not trained again.

    Parameters
    ----------
    folder : Path
        Gets ``fold1`` and so on, ``predictions.csv`` and ``scores.json``.
    sources : (Path, Path or None)
        Images and table of labels, as for `create_classification`.
    config : ClassificationConfig
        How to train each model; its minutes are for one fold.
    folds : int
        At least 2.
    control : Control, optional
        Cancels and pauses.

    Yields
    ------
    Event
        Those of training and prediction, and last `Finished` with a `CrossValidation`.

    Raises
    ------
    MedsegError
        If the images or the settings do not serve.
    """
    from napari_medseg.data.labelled.answers import Classified, rows_of, write_rows
    from napari_medseg.inference.classify import classify
    from napari_medseg.training import train

    if folds < 2:
        raise ConfigError(f"{folds} is too few folds.", "Take 2 or more, such as 5.")
    control = control or Control()
    images, labels = sources
    found = find_labelled(images, labels, config.covariates, config.crop)
    seen = yield from survey(found, control, config.nearly_equal)
    parts = split_folds(found, seen.kin, folds, config.seed)
    probable = np.full((len(found.pictures), len(found.classes)), np.nan)
    bundles: list[Path] = []
    for number, held in enumerate(parts):
        run = RunFolder(folder / f"fold{number + 1}")
        yield Note(f"Fold {number + 1} of {folds}: {len(held)} images are kept out.")
        if not run.config.exists():
            for event in create_classification(run.path, sources, config, control=control, fold=(number, folds)):
                if not isinstance(event, Finished):
                    yield event
        if not run.bundle.is_dir() or run.last.exists():
            yield from (e for e in train(run, control, resume=run.last.exists()) if not isinstance(e, Finished))
        bundle = Bundle.load(run.bundle)
        facts = tuple(found.facts[k] for k in held) if config.covariates else ()
        *_, done = classify(bundle, found.pictures.chosen(held.tolist()), control, config.device, facts)
        assert isinstance(done, Finished)
        assert isinstance(done.result, Classified)
        probable[held] = done.result.probabilities
        bundles.append(run.bundle)
    numbers = np.flatnonzero(np.isfinite(probable).all(axis=1))
    names = tuple(found.pictures.names[k] for k in numbers.tolist())
    spec = Bundle.load(bundles[0]).spec
    answers = Answers(found.classes, names, probable[numbers], found.labels[numbers])
    report = evaluate_classification(answers, ordered=spec.output == "ordered", seed=config.seed)
    table = write_rows(rows_of(Classified(names, probable[numbers]), spec), folder / "predictions.csv")
    write_text(folder / "scores.json", report.model_dump_json(indent=1))
    yield Finished(CrossValidation(report, table, tuple(bundles)))
