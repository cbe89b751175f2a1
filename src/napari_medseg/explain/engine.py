"""An explanation of one image, as a stream of events."""

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import choose
from napari_medseg.errors import BundleError, ConfigError, DataError
from napari_medseg.explain.baseline import baseline_of, settle
from napari_medseg.explain.curves import CurveSettings, curves_of, passes
from napari_medseg.explain.layers import prepared
from napari_medseg.explain.members import averaged
from napari_medseg.explain.meter import Meter
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.registry import Method, method_named
from napari_medseg.explain.result import Curves, Explanation, Sanity, Scores, Stage
from napari_medseg.explain.sanity import compare, judge, mean_of, with_random_weights
from napari_medseg.explain.scenes.classification import classification_scene, likeliest
from napari_medseg.explain.scenes.detection import detection_scene
from napari_medseg.explain.scenes.scene import Scene
from napari_medseg.explain.scenes.segmentation import segmentation_scene
from napari_medseg.explain.work import Work, maps_of, read_of, summary, total_of, with_memory
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.pipeline import Ensemble
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.volume import Volume

DRAWS, DRAWS_HIDING = 3, 1
"""Of random weights: methods that hide parts take long."""
FEATURES = "feature-maps"
"""The method whose maps belong to one network alone."""
SHOWN_PERCENTILE = 99.9
"""Of the magnitudes, for the display window."""


def explain(
    volume: Volume,
    bundle: Bundle,
    method: str = "grad-cam",
    target: str | None = None,
    options: ExplainOptions | None = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Explain what a model says about an image; the function behind `napari_medseg.explain.explain`."""
    options, control, chosen = options or ExplainOptions(), control or Control(), method_named(method)
    _check(bundle)
    if not bundle.members:
        yield from _explained(volume, bundle, chosen, target, options, control)
        return
    if chosen.name == FEATURES:
        raise ConfigError(f"The networks of {bundle.spec.name} have features of their own.", "Choose another method.")
    found: list[Explanation] = []
    for number, member in enumerate(bundle.members, start=1):
        _check(member)
        yield Note(f"Model {number} of {len(bundle.members)}: {member.spec.name}.")
        for event in _explained(volume, member, chosen, target, options, control):
            if isinstance(event, Finished) and isinstance(event.result, Explanation):
                found.append(event.result)
            else:
                yield event
    whole = averaged(bundle, found)
    window = window_of(np.asarray(whole.map.data), whole.scores.signed)
    yield Finished(replace(whole, map=replace(whole.map, window=window)))


def _explained(
    volume: Volume, bundle: Bundle, chosen: Method, target: str | None, options: ExplainOptions, control: Control
) -> Iterator[Event]:
    """Explain what one network says."""
    started, device = time.monotonic(), choose(options.device)
    yield Progress("Preparing", 0, 1)
    network = prepared(bundle.network().to(device))
    scene, network = yield from _scene(volume, bundle.spec, network, target, options, control)
    edges = tuple(int(n) for n in scene.canvas[(slice(None), *scene.pieces[0].box)].shape[1:])
    meter = Meter(control)
    kind, baseline = settle(
        options.baseline,
        lambda name: baseline_of(scene.canvas, name, scene.planar, edges),
        lambda canvas: total_of(scene, network, canvas, "probability", meter),
        scene.canvas,
    )
    options = options.model_copy(update={"baseline": kind})
    work = Work(scene, network, baseline, chosen, options, meter, {"dense": scene.dense})
    maps = yield from maps_of(work, network, "Explaining", options.seed)
    if not maps.any():
        raise DataError(
            f"{chosen.title} finds nothing that speaks for {scene.what} here.", "Choose another method, layer or class."
        )
    sanity = None
    if options.sanity != "none":
        sanity = yield from _sanity(work, maps)
    curves = yield from _curves(work, maps)
    scores = _scores(work, bundle, maps, (sanity, curves), time.monotonic() - started)
    yield Finished(Explanation(_on_image(volume, work, maps, scores), scores))


def _check(bundle: Bundle) -> None:
    """Refuse models whose answer cannot be traced through a network."""
    spec = bundle.spec
    if spec.pipeline is not None and not (bundle.members and isinstance(spec.pipeline, Ensemble)):
        raise BundleError(
            f"{spec.name} brings its own way from the image to the answer, which cannot be traced.",
            "Choose a model that was trained here.",
        )
    if spec.task not in ("classification", "segmentation", "detection"):
        raise BundleError(
            f"{spec.name} is for {spec.task}, which is not explained.",
            "Choose a model for classification, segmentation or detection.",
        )


def _scene(
    volume: Volume, spec: ModelSpec, network: nn.Module, target: str | None, options: ExplainOptions, control: Control
) -> Generator[Event, None, tuple[Scene, nn.Module]]:
    """Return what the network sees, and the network that is asked."""
    if spec.task == "segmentation":
        number = _class_number(spec, target or spec.foreground[0].name)
        if spec.classes[number].value == 0 and spec.output == "regions":
            raise ConfigError(f"{spec.name} gives no score for the background.", "Choose another class.")
        return (yield from segmentation_scene(volume, spec, network, number, options, control)), network
    if spec.task == "detection":
        wanted = None if target is None else _class_number(spec, target)
        return (yield from detection_scene(volume, spec, network, wanted, options, control))
    if spec.covariates:
        names = ", ".join(covariate.name for covariate in spec.covariates)
        yield Note(f"{spec.name} was told {names} in training; here it is told nothing but the image.", "warning")
    if target is None:
        target = likeliest(volume, spec, network, options)
    return classification_scene(volume, spec, _class_number(spec, target), options), network


def _class_number(spec: ModelSpec, name: str) -> int:
    names = [entry.name for entry in spec.classes]
    if name not in names:
        raise ConfigError(f"{spec.name} knows no class {name!r}.", f"It knows {', '.join(names)}.")
    return names.index(name)


def _sanity(work: Work, maps: NDArray[np.float32]) -> Generator[Event, None, Sanity]:
    options = work.options
    draws = options.randomisations or (DRAWS_HIDING if work.method.hides else DRAWS)
    found: dict[str, list[Stage]] = {}
    first = summary(maps, work.by_channel)
    for draw in range(draws):
        # A seed of their own: the noise of a method is that of the map, and only the weights differ.
        seed = options.seed + 1 + draw
        for name, network in with_random_weights(work.network, options.sanity == "cascading", seed):
            words = f"Checking with random weights ({draw + 1} of {draws})"
            others = yield from maps_of(work, network, words, options.seed)
            found.setdefault(name, []).append(compare(first, summary(others, work.by_channel), work.scene.planar, name))
    return judge([mean_of(stages) for stages in found.values()], draws)


def _curves(work: Work, maps: NDArray[np.float32]) -> Generator[Event, None, Curves | None]:
    options, scene = work.options, work.scene
    if not options.curve_steps:
        return None
    important = summary(maps, work.by_channel)

    def act(batch: int) -> Curves:
        settings = CurveSettings(options.baseline, options.curve_steps, options.seed, batch)
        return curves_of(scene, important, work.baseline, settings, partial(_probabilities, work))

    return (yield from with_memory(work, act, "Deleting and inserting", passes(scene, options.curve_steps)))


def _probabilities(work: Work, images: torch.Tensor, number: int) -> NDArray[np.float64]:
    return read_of(work, images, work.scene.pieces[number].target.probability)


def _scores(
    work: Work,
    bundle: Bundle,
    maps: NDArray[np.float32],
    checks: tuple[Sanity | None, Curves | None],
    seconds: float,
) -> Scores:
    scene, network = work.scene, work.network
    layer = work.shared.get("layer")
    return Scores(
        method=work.method.title,
        target=scene.what,
        model=bundle.spec.name,
        model_hash=bundle.hash,
        signed=work.method.signed,
        score=total_of(scene, network, scene.canvas, "score", work.meter),
        probability=total_of(scene, network, scene.canvas, "probability", work.meter),
        baseline_score=total_of(scene, network, work.baseline, "score", work.meter),
        total=float(maps.sum(dtype=np.float64)),
        layer=str(layer) if layer is not None else None,
        sanity=checks[0],
        curves=checks[1],
        options=work.options.model_dump(mode="json") | {"device": str(work.device)},
        seconds=seconds,
    )


def _on_image(volume: Volume, work: Work, maps: NDArray[np.float32], scores: Scores) -> Volume:
    """Return the maps on the image's own grid."""
    own = work.scene.home(maps)
    axes: tuple[str, ...] = ()
    if len(own) > 1:
        axes = ("channel",) if work.by_channel else ("feature",)
    else:
        own = own[0]
    return replace(
        volume,
        data=own,
        name=f"{scores.method} of {scores.target} by {scores.model}",
        kind="image",
        units=None,
        window=window_of(own, scores.signed),
        rgb=False,
        axes=axes,
        axis_values={},
        classes=(),
        suv_factor=None,
        warnings=(),
        derivation=f"{scores.method} of the class {scores.target} by the model {scores.model}",
    )


def window_of(values: NDArray[np.float32], signed: bool) -> tuple[float, float]:
    """Return the display limits of a map: from zero, or symmetric around it."""
    magnitudes = np.abs(values)
    high = float(np.percentile(magnitudes, SHOWN_PERCENTILE)) or float(magnitudes.max()) or 1.0
    return (-high, high) if signed else (0.0, high)
