"""From images, boxes and settings to the folder of a run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.boxes import find_boxed
from napari_medseg.data.boxes.source import BoxSource
from napari_medseg.device import available
from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, Intensity, ModelSpec
from napari_medseg.models.registry import network_def
from napari_medseg.progress import Control, Event, Finished, Note
from napari_medseg.training.atomic import write_text
from napari_medseg.training.detection.anchors import fitted_anchors, fitted_spacing, fitted_strides, fitted_zoom
from napari_medseg.training.detection.config import DetectionConfig
from napari_medseg.training.detection.run import DetectionRun
from napari_medseg.training.detection.survey import Survey, survey
from napari_medseg.training.run import RunFolder

WIDTHS = {("cpu", 2): 96, ("cpu", 3): 32, ("gpu", 2): 128, ("gpu", 3): 64}
BODIES = {("cpu", 2): 16, ("cpu", 3): 8, ("gpu", 2): 32, ("gpu", 3): 16}
PATCHES = {("cpu", 2): 640, ("gpu", 2): 1024, ("cpu", 3): 64, ("gpu", 3): 128}
"""Longest edge of what is learnt from at once."""
IMAGENET = (114.5, 172.0)
"""Mean of photographs in eight bits, and one standard deviation more: what pretrained networks are used to."""
WINDOW_HU = (-1000.0, 400.0)
"""Of CT: from air to bone."""


def create_detection(
    folder: Path,
    sources: tuple[Path, Path],
    config: DetectionConfig,
    init: Path | None = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Look at all images and boxes, and lay out the folder of a run.

    Parameters
    ----------
    folder : Path
        New or without a run in it.
    sources : (Path, Path)
        Images and boxes, as for `napari_medseg.data.boxes.find_boxed`.
    config : DetectionConfig
        How to train.
    init : Path, optional
        Bundle to start from, whose network, size and intensities are taken over.
    control : Control, optional
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress`, `Note`, and last `Finished` with the `RunFolder`.

    Raises
    ------
    MedsegError
        If the folder holds a run, the images or boxes cannot be read, or the settings do not serve.
    """
    run = RunFolder(folder)
    if run.config.exists():
        raise ConfigError(f"{run.path} already holds a training run.", "Resume it, or choose another folder.")
    images, boxes = sources
    boxed = find_boxed(images, boxes)
    yield from (Note(text, "warning") for text in boxed.source.notes)
    facts = yield from survey(boxed, control or Control())
    start = None if init is None else Bundle.load(init).spec
    spec = _spec(folder.resolve().name, boxed.source, facts, config, start)
    network_def(spec)
    content = DetectionRun(
        spec=spec,
        images=images.resolve(),
        boxes=boxes.resolve(),
        fingerprint=facts.fingerprint,
        train=config,
        init=None if init is None else init.resolve(),
    )
    run.last.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.config, content.model_dump_json(indent=1))
    yield Finished(run)


def _spec(name: str, source: BoxSource, facts: Survey, config: DetectionConfig, start: ModelSpec | None) -> ModelSpec:
    if start is not None:
        _check_start(start, facts, config)
        return start.model_copy(
            update={"name": name, "classes": source.classes, "metrics": {}, "training_data": (), "description": ""}
        )
    processor = processor_of(config)
    zoom, spacing, sizes = _grid(facts, config, processor)
    options = _options(config, facts, sizes, processor)
    return ModelSpec(
        name=name,
        architecture=config.architecture,
        options=options,
        task="detection",
        dims=facts.dims,
        channels=facts.channels,
        classes=source.classes,
        axcodes="SPL" if facts.spacings is not None else None,
        spacing=spacing,
        zoom=zoom,
        intensity=_intensity(facts, config.pretrained is not None),
        modality=facts.modality,
        patch_size=_patch(facts, config, (zoom, spacing), 2 * max(options.get("strides", (16,))), processor),
    )


def processor_of(config: DetectionConfig) -> Literal["cpu", "gpu"]:
    """Return whether a run is on a graphics processor."""
    device = available()[0] if config.device == "auto" else config.device
    return "cpu" if device == "cpu" else "gpu"


def _check_start(start: ModelSpec, facts: Survey, config: DetectionConfig) -> None:
    if start.task != "detection" or start.dims != facts.dims:
        raise ConfigError(
            f"{start.name} is a model for {start.task} in {start.dims} dimensions.",
            f"Start from one for detection in {facts.dims}.",
        )
    fixed = (config.pretrained, config.strides, config.width, config.body, config.zoom, config.spacing, config.patch)
    if any(value is not None for value in fixed) or config.backbone != "auto":
        raise ConfigError(
            f"The network, its sizes and its weights are those of {start.name}.",
            "Leave out pretrained, backbone, strides, width, body, zoom, spacing and patch.",
        )


def _grid(
    facts: Survey, config: DetectionConfig, processor: Literal["cpu", "gpu"]
) -> tuple[float, tuple[float, float, float] | None, NDArray[np.float64]]:
    """Return zoom, spacing, and the (box, axis) sizes in voxels of the network."""
    sizes = np.concatenate([b.sizes for b in facts.boxes])
    labels = np.concatenate([b.labels for b in facts.boxes])
    if facts.dims == 2:
        seconds = None if config.minutes is None else 60 * config.minutes * _cores(config)
        zoom = config.zoom or fitted_zoom(sizes, labels, facts.shapes, processor, seconds)
        return zoom, None, sizes * zoom
    if facts.spacings is None:
        return 1.0, None, sizes
    mm = np.concatenate([b.sizes * s for b, s in zip(facts.boxes, facts.spacings, strict=True)])
    spacing = config.spacing or fitted_spacing(mm, facts.spacings)
    return 1.0, spacing, mm / np.array(spacing) if spacing is not None else sizes


def _cores(config: DetectionConfig) -> int:
    """Return how many cores a run's minutes are of."""
    if config.clock == "processor":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _options(
    config: DetectionConfig, facts: Survey, sizes: NDArray[np.float64], processor: Literal["cpu", "gpu"]
) -> dict[str, Any]:
    strides = config.strides or fitted_strides(sizes)
    backbone = _backbone(config)
    if backbone == "resnet50_fpn":
        return {"backbone": backbone}
    return {
        "backbone": backbone,
        "strides": list(strides),
        "anchors": fitted_anchors(sizes, len(strides), config.anchors, config.seed),
        "width": config.width or WIDTHS[processor, facts.dims],
        "body": config.body or BODIES[processor, facts.dims],
    }


def _backbone(config: DetectionConfig) -> str:
    if config.backbone != "auto":
        return config.backbone
    if config.pretrained is None:
        return "plain"
    if config.pretrained in ("imagenet", "coco"):
        return "resnet18" if config.pretrained == "imagenet" else "resnet50_fpn"
    from napari_medseg.models.detector_weights import backbone_in

    return backbone_in(Path(config.pretrained).expanduser())


def _intensity(facts: Survey, pretrained: bool) -> Intensity:
    """Whole numbers of few bits and HU mean the same in all images, others may not: those are scaled each by itself."""
    if facts.comparable and pretrained:
        return Intensity(kind="fixed", low=IMAGENET[0], high=IMAGENET[1])
    if facts.comparable and facts.deviation > 0:
        return Intensity(kind="fixed", low=round(facts.mean, 3), high=round(facts.mean + facts.deviation, 3))
    if facts.modality == "CT" or facts.mean < -100:
        return Intensity(kind="window", low=WINDOW_HU[0], high=WINDOW_HU[1])
    return Intensity(kind="zscore")


def _patch(
    facts: Survey,
    config: DetectionConfig,
    grid: tuple[float, tuple[float, float, float] | None],
    multiple: int,
    processor: Literal["cpu", "gpu"],
) -> tuple[int, ...]:
    if config.patch is not None:
        return tuple(-(-n // multiple) * multiple for n in config.patch)
    zoom, spacing = grid
    if config.architecture in ("fasterrcnn", "maskrcnn"):
        multiple = max(multiple, 32)
    shapes = facts.shapes * zoom
    if spacing is not None and facts.spacings is not None:
        shapes = facts.shapes * facts.spacings / np.array(spacing)
    most = PATCHES[processor, facts.dims]
    typical = np.median(shapes, axis=0)
    return tuple(int(min(most, -(-round(float(n)) // multiple) * multiple)) for n in typical)
