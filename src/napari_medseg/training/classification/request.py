"""From images and settings to the folder of a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_medseg.data.labelled import LabelledImages, find_labelled, split_parts
from napari_medseg.data.labelled.parts import fold_of
from napari_medseg.device import available
from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, Intensity, ModelSpec
from napari_medseg.models.covariates import describe
from napari_medseg.models.registry import network_def
from napari_medseg.models.spec import Covariate
from napari_medseg.prediction import OutputKind
from napari_medseg.progress import Control, Event, Finished, Note
from napari_medseg.training.atomic import write_text
from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.survey import Survey, fingerprint, survey
from napari_medseg.training.clock import clock_of
from napari_medseg.training.run import RunFolder
from napari_medseg.volume import LabelClass

SMALL = 64
"""Images of up to so many pixels get the network for small images."""
WIDTHS = {"cpu": 32}
"""Channels of the first stage of small networks on a processor without graphics; 64 elsewhere."""
EDGES = {("cpu", 2): 96, ("cpu", 3): 48, ("gpu", 2): 224, ("gpu", 3): 96}
"""Most voxels along an edge by default, by processor and number of dimensions."""
PIECE = 16
"""Edge of what the transformer for volumes looks at."""
PRETRAINED_EDGE = {"cpu": 128, "gpu": 224}


def create_classification(
    folder: Path,
    sources: tuple[Path, Path | None],
    config: ClassificationConfig,
    init: Path | None = None,
    control: Control | None = None,
    fold: tuple[int, int] | None = None,
) -> Iterator[Event]:
    """Look at all images, and lay out the folder of a run.

    Parameters
    ----------
    folder : Path
        New or without a run in it.
    sources : (Path, Path or None)
        Images and table of labels, as for `napari_medseg.data.labelled.find_labelled`.
    config : ClassificationConfig
        How to train.
    init : Path, optional
        Bundle to start from, whose network, size and intensities are taken over.
    control : Control, optional
        Cancels and pauses.
    fold : (int, int), optional
        Fold of a cross-validation that is kept out of everything, from 0 on, and how many there are.

    Yields
    ------
    Event
        `Progress`, `Note`, and last `Finished` with the `RunFolder`.

    Raises
    ------
    MedsegError
        If the folder holds a run, the images cannot be read, or the settings do not serve.
    """
    run = RunFolder(folder)
    if run.config.exists():
        raise ConfigError(f"{run.path} already holds a training run.", "Resume it, or choose another folder.")
    clock = clock_of(config.clock)
    started = clock()
    images, labels = sources
    found = find_labelled(images, labels, config.covariates, config.crop)
    facts = yield from survey(found, control or Control(), config.nearly_equal)
    start = None if init is None else Bundle.load(init).spec
    spec = _spec(folder.resolve().name, found, facts, config, start)
    if config.flips == "auto":
        config = config.model_copy(update={"flips": "sideways" if facts.channels == 3 else "none"})
    mark = fingerprint(facts.digests, found)
    if fold is not None:
        found = fold_of(found, facts.kin, fold, config.seed)
    parts = split_parts(found, facts.kin, config.hold_out, config.seed, config.leaks)
    network_def(spec)
    content = ClassificationRun(
        spec=spec,
        images=images.resolve(),
        labels=None if labels is None else labels.resolve(),
        fingerprint=mark,
        alike=facts.alike,
        fold=fold,
        looked=clock() - started,
        train=config,
        init=None if init is None else init.resolve(),
    )
    yield from (Note(text) for text in parts.notes)
    run.last.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.config, content.model_dump_json(indent=1))
    yield Finished(run)


def _spec(
    name: str, found: LabelledImages, facts: Survey, config: ClassificationConfig, start: ModelSpec | None
) -> ModelSpec:
    own: dict[str, Any] = {
        "name": name,
        "classes": tuple(LabelClass(value=number, name=label) for number, label in enumerate(found.classes)),
        "output": _output(found, config),
        "covariates": _covariates(found, config),
        "crop": config.crop if found.pictures.boxes else None,
    }
    if start is not None:
        _check_start(start, facts, config)
        return start.model_copy(
            update=own | {"temperature": 1.0, "metrics": {}, "training_data": (), "description": ""}
        )
    processor = "cpu" if _device(config) == "cpu" else "gpu"
    architecture = _architecture(facts, config)
    edge = config.image_size or _edge(facts, architecture, processor, config.pretrained is not None)
    return ModelSpec(
        **own,
        architecture=architecture,
        options=_options(architecture, config, processor),
        task="classification",
        dims=facts.dims,
        channels=facts.channels,
        images=1 + max(map(len, found.pictures.more), default=0),
        axcodes=None,
        intensity=_intensity(facts),
        patch_size=(edge,) * facts.dims,
    )


def _output(found: LabelledImages, config: ClassificationConfig) -> OutputKind:
    if found.several and config.answer in ("single", "ordinal"):
        raise ConfigError(
            f"The labels name several classes for an image, which is not {config.answer}.", "Leave out answer."
        )
    if config.answer == "multi" and not found.several:
        raise ConfigError(
            "The labels name one class for each image.", "Write several as a|b, or a column of 0 and 1 per class."
        )
    return "several" if found.several else "ordered" if config.answer == "ordinal" else "classes"


def _covariates(found: LabelledImages, config: ClassificationConfig) -> tuple[Covariate, ...]:
    """Return what the columns of training images hold."""
    if not config.covariates:
        return ()
    rows = [row for row, part in zip(found.facts, found.parts, strict=True) if part in ("", "train")]
    columns = zip(*rows, strict=True)
    return tuple(describe(name, entries) for name, entries in zip(config.covariates, columns, strict=True))


def _device(config: ClassificationConfig) -> str:
    return available()[0] if config.device == "auto" else config.device


def _check_start(start: ModelSpec, facts: Survey, config: ClassificationConfig) -> None:
    if start.task != "classification":
        raise ConfigError(f"{start.name} is a model for {start.task}.", "Start from one for classification.")
    if start.dims != facts.dims:
        raise ConfigError(
            f"{start.name} is for {start.dims} dimensions, the images have {facts.dims}.", "Leave it out."
        )
    if (
        config.pretrained
        or config.architecture not in ("auto", start.architecture)
        or config.image_size
        or config.width
    ):
        raise ConfigError(
            f"The network, its size and its weights are those of {start.name}.",
            "Leave out architecture, width, image_size and pretrained.",
        )


def _architecture(facts: Survey, config: ClassificationConfig) -> str:
    if config.architecture != "auto":
        return config.architecture
    if facts.dims == 3:
        # A step of a ResNet for volumes takes minutes without a graphics processor.
        return "cnn_small" if _device(config) == "cpu" and not config.pretrained else "resnet18_3d"
    return "resnet18_small" if facts.edge <= SMALL and not config.pretrained else "resnet18"


def _edge(facts: Survey, architecture: str, processor: str, pretrained: bool) -> int:
    if architecture == "vit_3d":
        return max(PIECE, min(facts.edge, EDGES[processor, 3]) // PIECE * PIECE)
    if architecture.startswith("vit"):
        return 224
    least = {"resnet18_small": 8, "cnn_small": 8, "inception_v3": 96}.get(architecture, 32)
    most = PRETRAINED_EDGE[processor] if pretrained else EDGES[processor, facts.dims]
    if pretrained and facts.dims == 2:
        return max(least, most)
    return max(least, min(facts.edge, most))


def _options(architecture: str, config: ClassificationConfig, processor: str) -> dict[str, Any]:
    if architecture in ("resnet18_small", "cnn_small"):
        return {"width": config.width or WIDTHS.get(processor, 64)}
    return {} if config.dropout is None else {"dropout": config.dropout}


def _intensity(facts: Survey) -> Intensity:
    """Whole numbers of few bits mean the same in all images, others may not: those are scaled each by itself."""
    if facts.comparable and facts.deviation > 0:
        return Intensity(kind="fixed", low=facts.mean, high=facts.mean + facts.deviation)
    return Intensity(kind="zscore")
