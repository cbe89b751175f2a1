"""From the configuration of a MONAI bundle to a specification."""

from typing import Any, get_args

from pydantic import ValidationError

from napari_medseg.errors import BundleError
from napari_medseg.models.foreign.plain import REMEDY, Json, PlainConfig
from napari_medseg.models.foreign.steps import chain, short_name, specification
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.zoo.monai_nets import FROM_SPEC, Network
from napari_medseg.volume import LabelClass

MODALITIES = ("CT", "MR", "PT", "US")
HARMLESS = ("Invertd", "SaveImaged", "EnsureTyped", "DeleteItemsd", "ToTensord")
"""Steps after the network that do not change which class wins."""
INFERER_KEYS = {"_target_", "_desc_", "roi_size", "spatial_dim", "overlap", "mode", "sw_batch_size", "progress"}
INFERER_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "sigma_scale": (0.125,),
    "padding_mode": ("constant",),
    "cval": (0, 0.0),
    "with_coord": (False,),
    "roi_weight_map": (None,),
    "buffer_steps": (None,),
}
"""Arguments of an inferer that are looked at, and those that may only have the value that they have by default."""
IRRELEVANT = ("device", "sw_device", "cpu_thresh", "cache_roi_weight_map", "buffer_dim")


def convert(name: str, metadata: Json, inference: Json, licence: str = "") -> ModelSpec:
    """Return the specification of a MONAI bundle of another maker. Executes nothing.

    Parameters
    ----------
    name : str
        Of the folder, for a bundle without a name and for messages.
    metadata, inference : dict
        Content of ``configs/metadata.json`` and ``configs/inference.json``.
    licence : str
        Text of its licence file.

    Returns
    -------
    ModelSpec
        With the same network, the same preparation of the image, the same tiles, and the same labels.

    Raises
    ------
    BundleError
        If it cannot be had without executing an expression, which is then named, or has something that has no
        counterpart here.
    """
    config = PlainConfig(name, inference)
    network, arguments = _network(config)
    dims, channels, outputs = (_count(config, arguments, key) for key in FROM_SPEC)
    prepared = specification(config, channels)
    prepared, patch = _tiles(config, prepared, dims)
    prepared |= _way_back(config, resampled=prepared["spacing"] is not None)
    title = str(metadata.get("name") or name)
    try:
        return ModelSpec(
            name=title,
            architecture="monai",
            options={"network": network, "arguments": {k: v for k, v in arguments.items() if k not in FROM_SPEC}},
            dims=dims,
            channels=channels,
            classes=output_classes(metadata, outputs),
            patch_size=patch,
            modality=_modality(metadata),
            description=str(metadata.get("description", "")),
            licence="Apache-2.0" if "Apache License" in licence and "Version 2.0" in licence else "",
            citation=_citation(metadata),
            **prepared,
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "configuration"
        raise BundleError(f"{name} has an impossible {place}: {first['msg']}.", "Get the model again.") from error


def _network(config: PlainConfig) -> tuple[str, Json]:
    entry = config.entry("network_def")
    name = short_name(entry)
    if name not in get_args(Network):
        raise BundleError(
            f"{config.name} has the network {name}, which is not among those that are built without executing code.",
            f"Known are {', '.join(get_args(Network))}.",
        )
    arguments = {key: value for key, value in entry.items() if key not in ("_target_", "_desc_")}
    return name, config.plain(arguments, "network_def")


def _count(config: PlainConfig, arguments: Json, key: str) -> Any:  # noqa: ANN401 - checked by the specification
    value = arguments.get(key, 3 if key == "spatial_dims" else None)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
        raise BundleError(f"{config.name} does not say how many {key} its network has.", REMEDY)
    return value


def _tiles(config: PlainConfig, prepared: Json, dims: int) -> tuple[Json, Any]:
    """Return the preparation with the network's first axis first and the rule for tiles, and the tile."""
    inferer = config.entry("inferer")
    kind = short_name(inferer)
    if kind != ("SlidingWindowInferer" if dims == 3 else "SliceInferer"):
        raise BundleError(f"{config.name} applies its network by {kind}, which is not done here.", REMEDY)
    for key in inferer.keys() - INFERER_KEYS - set(IRRELEVANT):
        wanted = INFERER_DEFAULTS.get(key, ())
        if config.plain(inferer[key], f"inferer::{key}") not in wanted:
            raise BundleError(
                f"{config.name} uses {kind} with {key} = {inferer[key]!r}, which is not done here.", REMEDY
            )
    size = config.plain(inferer.get("roi_size"), "inferer::roi_size")
    patch = tuple(size) if isinstance(size, list) else (size,) * dims
    if dims == 2:
        prepared = _slices_first(prepared, config.plain(inferer.get("spatial_dim", 0), "inferer::spatial_dim"))
    overlap = config.plain(inferer.get("overlap", 0.25), "inferer::overlap")
    mode = config.plain(inferer.get("mode", "constant"), "inferer::mode")
    return prepared | {"overlap": overlap, "blending": mode}, patch


def _slices_first(prepared: Json, axis: object) -> Json:
    """Return the preparation with the axis across the slices before the others."""
    order = {0: (0, 1, 2), 1: (1, 0, 2), 2: (2, 0, 1)}.get(axis if isinstance(axis, int) else 0, (0, 1, 2))
    codes, spacing = prepared["axcodes"], prepared["spacing"]
    turned: Json = {"axcodes": "".join(codes[k] for k in order)} if len(codes) == 3 else {}
    if isinstance(spacing, list) and len(spacing) == 3:
        turned["spacing"] = [spacing[k] for k in order]
    return prepared | turned


def _way_back(config: PlainConfig, resampled: bool) -> Json:
    """Return what is brought back to the image's grid; refuse labels by another rule than the strongest class.

    Where the image was resampled, it counts whether logits, probabilities or labels are, and how.
    """
    done = []
    for step in chain(config, "postprocessing") if "postprocessing" in config.content else ():
        name = short_name(step)
        softmax = name == "Activationsd" and not config.plain(step.get("sigmoid", False), "Activationsd::sigmoid")
        strongest = name == "AsDiscreted" and config.plain(step.get("argmax", False), "AsDiscreted::argmax")
        if not (softmax or strongest or name in HARMLESS):
            config.plain(step, name)
            raise BundleError(f"{config.name} makes labels with {name}, which has no counterpart here.", REMEDY)
        nearest = config.plain(step.get("nearest_interp", True), "Invertd::nearest_interp") not in (False, [False])
        if resampled and name == "Invertd" and ("AsDiscreted" in done or nearest):
            raise BundleError(f"{config.name} brings labels back by the nearest voxel, which is not done here.", REMEDY)
        done.append(name)
    if resampled and "Invertd" not in done and done:
        raise BundleError(f"{config.name} does not bring labels back to the image's voxels by Invertd.", REMEDY)
    before = done[: done.index("Invertd")] if "Invertd" in done else []
    return {"interpolated": "probabilities" if resampled and "Activationsd" in before else "logits"}


def output_classes(metadata: Json, count: int, first: int = 1) -> tuple[LabelClass, ...]:
    """Return background and the classes of a network's output channels, from the channel `first` on."""
    names = about(metadata, "outputs").get("channel_def")
    names = names if isinstance(names, dict) else {}
    values = range(1, count - first + 1)
    foreground = (LabelClass(value=k, name=str(names.get(str(k - 1 + first)) or f"class {k}")) for k in values)
    return LabelClass(value=0, name="background"), *foreground


def _modality(metadata: Json) -> str | None:
    found = str(about(metadata, "inputs").get("modality", "")).upper()
    return {"MRI": "MR", "PET": "PT"}.get(found, found if found in MODALITIES else None)


def _citation(metadata: Json) -> str:
    references = metadata.get("references")
    return "; ".join(str(text) for text in references) if isinstance(references, list) else ""


def about(metadata: Json, side: str) -> Json:
    """Return what the metadata say of the first of the "inputs" or "outputs"."""
    found = metadata.get("network_data_format")
    part = found.get(side) if isinstance(found, dict) else None
    first = next(iter(part.values()), None) if isinstance(part, dict) else None
    return first if isinstance(first, dict) else {}
