"""A chain of MONAI's transforms, in the words of our specification or not at all."""

from collections.abc import Callable, Mapping
from typing import Any

from napari_medseg.errors import BundleError
from napari_medseg.models.foreign.plain import REMEDY, Json, PlainConfig

NO_EFFECT: dict[str, Json] = {
    "LoadImaged": {"image_only": None, "ensure_channel_first": None, "reader": ("NibabelReader", "ITKReader")},
    "EnsureChannelFirstd": {},
    "EnsureTyped": {"device": None, "data_type": ("tensor",), "track_meta": None},
    "ToTensord": {},
}
"""Steps that we do anyway, with the arguments that they may have: any value (None), or one of some."""
ORDER = ("Orientationd", "Spacingd", "intensity")
KEYS = ("image", ["image"])


def chain(config: PlainConfig, key: str) -> list[Json]:
    """Return the transforms of the entry `key`, in order, without those that are switched off.

    Raises
    ------
    BundleError
        If the entry is not a chain of named transforms.
    """
    entry = config.entry(key)
    if short_name(entry) != "Compose":
        raise BundleError(f"{config.name}: {key!r} is a {entry['_target_']} and not a chain of transforms.", REMEDY)
    steps = config.follow(entry.get("transforms"), f"{key}::transforms")
    if not isinstance(steps, list):
        raise BundleError(f"{config.name}: {key!r} has no list of transforms.", REMEDY)
    found = []
    for number, step in enumerate(steps):
        step = config.follow(step, f"{key}::transforms::{number}")
        if not isinstance(step, dict) or not isinstance(step.get("_target_"), str):
            raise BundleError(f"{config.name}: step {number} of {key!r} is not a named transform.", REMEDY)
        if config.plain(step.get("_disabled_", False), f"{key}::{number}") is not True:
            found.append(step)
    return found


def short_name(entry: Json) -> str:
    """Return the class that an entry names, without MONAI's modules; others keep their full path."""
    target: str = entry["_target_"]
    ours = target.startswith(("monai.transforms.", "monai.inferers.", "monai.networks.nets."))
    return target.rpartition(".")[2] if ours else target


def specification(config: PlainConfig, channels: int) -> Json:
    """Return ``axcodes``, ``spacing`` and ``intensity`` of the chain ``preprocessing``.

    Raises
    ------
    BundleError
        If a step is none of ours, has arguments that ours does not have, or comes in another order.
    """
    found: Json = {}
    for step in chain(config, "preprocessing"):
        name = short_name(step)
        if name in NO_EFFECT:
            _arguments(config, step, NO_EFFECT[name])
            continue
        if name not in RULES:
            config.plain(step, name)
            raise BundleError(f"{config.name} prepares images with {name}, which has no counterpart here.", REMEDY)
        place, rule = RULES[name]
        if found and ORDER.index(place) <= max(ORDER.index(earlier) for earlier in found):
            raise BundleError(f"{config.name} prepares images in another order: {name} comes too late.", REMEDY)
        found[place] = rule(config, step, channels)
    missing = [place for place in ("Orientationd", "intensity") if place not in found]
    if missing:
        lacking = "does not turn images to known axes" if missing[0] == "Orientationd" else "does not scale intensities"
        raise BundleError(f"{config.name} {lacking}, which we cannot do without.", REMEDY)
    return {"axcodes": found["Orientationd"], "spacing": found.get("Spacingd"), "intensity": found["intensity"]}


def _arguments(config: PlainConfig, step: Json, allowed: Mapping[str, Any]) -> Json:
    """Return the plain arguments of a step, after checking that it works on the image and has no others.

    Parameters
    ----------
    config : PlainConfig
        The configuration.
    step : dict
        The transform.
    allowed : mapping
        For each argument None if its value is not looked at, ``...`` if any plain value will do, or the values that it
        may have.
    """
    name, result = short_name(step), {}
    for key, value in step.items():
        if key in ("_target_", "_desc_", "_disabled_") or allowed.get(key, 0) is None:
            continue
        plain = config.plain(value, f"{name}::{key}")
        choices = KEYS if key == "keys" else (False, [False]) if key == "allow_missing_keys" else allowed.get(key, ())
        if choices is not ... and plain not in choices:
            raise BundleError(f"{config.name} uses {name} with {key} = {plain!r}, which is not done here.", REMEDY)
        result[key] = plain
    return result


def _orientation(config: PlainConfig, step: Json, _channels: int) -> str:
    labels = (None, [["L", "R"], ["P", "A"], ["I", "S"]])
    return str(_arguments(config, step, {"axcodes": ..., "labels": labels}).get("axcodes"))


def _spacing(config: PlainConfig, step: Json, _channels: int) -> object:
    defaults = {
        "mode": ("bilinear", ["bilinear"]),
        "padding_mode": ("border", ["border"]),
        "align_corners": (False, [False]),
        "diagonal": (False,),
        "scale_extent": (False,),
    }
    return _arguments(config, step, {"pixdim": ..., **defaults}).get("pixdim")


def _zscore(config: PlainConfig, step: Json, channels: int) -> Json:
    found = _arguments(config, step, {"nonzero": (True, False), "channel_wise": _channel_wise(channels)})
    return {"kind": "zscore", "nonzero": found.get("nonzero", False)}


def _minmax(config: PlainConfig, step: Json, channels: int) -> Json:
    _arguments(config, step, {"minv": (0.0,), "maxv": (1.0,), "channel_wise": _channel_wise(channels)})
    return {"kind": "minmax"}


def _percentile(config: PlainConfig, step: Json, channels: int) -> Json:
    own = {"lower": ..., "upper": ..., "relative": (False,), "channel_wise": _channel_wise(channels)}
    found = _clipped(config, step, own)
    return {"kind": "percentile", "low": found.get("lower"), "high": found.get("upper")}


def _window(config: PlainConfig, step: Json, _channels: int) -> Json:
    found = _clipped(config, step, {"a_min": ..., "a_max": ...})
    return {"kind": "window", "low": found.get("a_min"), "high": found.get("a_max")}


def _clipped(config: PlainConfig, step: Json, own: Json) -> Json:
    """Return the arguments of a step that has to map to 0 and 1 and clip, which is not what it does by default."""
    found = _arguments(config, step, {**own, "b_min": (0.0,), "b_max": (1.0,), "clip": (True,)})
    lacking = [key for key in ("b_min", "b_max", "clip") if key not in found]
    if lacking:
        raise BundleError(
            f"{config.name} uses {short_name(step)} without {lacking[0]}, which is not done here.", REMEDY
        )
    return found


def _channel_wise(channels: int) -> tuple[bool, ...]:
    return (False, True) if channels == 1 else (False,)


RULES: dict[str, tuple[str, Callable[[PlainConfig, Json, int], Any]]] = {
    "Orientationd": ("Orientationd", _orientation),
    "Spacingd": ("Spacingd", _spacing),
    "NormalizeIntensityd": ("intensity", _zscore),
    "ScaleIntensityd": ("intensity", _minmax),
    "ScaleIntensityRangePercentilesd": ("intensity", _percentile),
    "ScaleIntensityRanged": ("intensity", _window),
}
"""Transforms that have a counterpart in a specification: where they stand in the order, and what they become."""
