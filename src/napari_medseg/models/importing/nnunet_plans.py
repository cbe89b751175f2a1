"""nnU-Net's plans and data set, in the words of our specification or not at all."""

import json
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from napari_medseg.errors import BundleError
from napari_medseg.models.pipeline import NnUNet, Normalisation, Resampling
from napari_medseg.models.spec import BACKGROUND, ModelSpec
from napari_medseg.models.zoo.nnunet import Network
from napari_medseg.volume import LabelClass

Json = dict[str, Any]
PLANS, DATASET = "plans.json", "dataset.json"
SCHEMES = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale01",
    "RGBTo01Normalization": "rgb01",
}
ORIENTATIONS = {"SimpleITKIO": "file", "NibabelIO": "file", "NibabelIOWithReorient": "RAS"}
"""What nnU-Net's readers do to the axes of a file."""
REMEDY = "Predict with nnU-Net itself, or choose another configuration of the model."
MODALITIES = {"ct": "CT", "mr": "MR", "mri": "MR", "t1": "MR", "t2": "MR", "flair": "MR", "pet": "PT"}


def read_object(path: Path) -> Json:
    """Return a file that holds a JSON object.

    Raises
    ------
    BundleError
        If it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path.parent.name}/{path.name} cannot be read ({error}).", "Copy it again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path.parent.name}/{path.name} is not a JSON object.", "Copy it again.")
    return content


def nnunet_spec(plans: Json, dataset: Json, configuration: str, folds: int, mirror: tuple[int, ...]) -> ModelSpec:
    """Return the specification of a configuration of nnU-Net's plans.

    Parameters
    ----------
    plans, dataset : dict
        Content of ``plans.json`` and ``dataset.json``.
    configuration : str
        Such as ``3d_fullres``.
    folds : int
        How many networks make up the model.
    mirror : tuple of int
        Axes of a tile along which it is also seen mirrored.

    Raises
    ------
    BundleError
        If it does what has no counterpart here.
    """
    name = str(plans.get("dataset_name") or dataset.get("name") or "nnU-Net")
    found = _configuration(plans, configuration, name)
    _check(plans, found, f"{name} {configuration}")
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    classes, output = _classes(dataset, name)
    try:
        network, arguments = _network(found)
        return ModelSpec(
            name=f"{name} {configuration}",
            architecture="nnunet",
            options={"network": network, "arguments": arguments, "folds": folds, "mirror_axes": list(mirror)},
            dims=len(found["patch_size"]),
            channels=max(len(channels), 1),
            classes=classes,
            output=output,
            axcodes=None,
            patch_size=tuple(found["patch_size"]),
            pipeline=_pipeline(plans, found, configuration),
            modality=_modality(channels),
            description=str(dataset.get("description") or ""),
            licence=str(dataset.get("licence") or dataset.get("license") or ""),
            citation=str(dataset.get("reference") or ""),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        raise BundleError(
            f"{name}: the plans of {configuration} are not those of nnU-Net v2 ({reason}).", "Copy the model again."
        ) from error


def _configuration(plans: Json, configuration: str, name: str, below: tuple[str, ...] = ()) -> Json:
    known = plans.get("configurations")
    found = known.get(configuration) if isinstance(known, dict) else None
    if not isinstance(found, dict) or configuration in below:
        raise BundleError(f"{name}: the plans have no configuration {configuration!r}.", "Copy the model again.")
    parent = found.get("inherits_from")
    if parent is None:
        return dict(found)
    return _configuration(plans, str(parent), name, (*below, configuration)) | found


def _check(plans: Json, found: Json, name: str) -> None:
    """Refuse what would give other labels."""
    if found.get("previous_stage"):
        raise BundleError(f"{name} is the second stage of a cascade, which is not done here.", REMEDY)
    unknown = [
        (what, value)
        for what, value, known in (
            ("preprocessor", found.get("preprocessor_name"), ("DefaultPreprocessor",)),
            ("label manager", plans.get("label_manager"), (None, "LabelManager")),
            ("reader", plans.get("image_reader_writer"), tuple(ORIENTATIONS)),
            *(("normalisation", scheme, tuple(SCHEMES)) for scheme in found.get("normalization_schemes", ())),
            ("resampling", found.get("resampling_fn_data"), get_args(Resampling.model_fields["function"].annotation)),
            (
                "resampling",
                found.get("resampling_fn_probabilities"),
                get_args(Resampling.model_fields["function"].annotation),
            ),
            ("order of interpolation", found.get("resampling_fn_probabilities_kwargs", {}).get("order", 1), (0, 1)),
        )
        if value not in known
    ]
    if unknown:
        what, value = unknown[0]
        raise BundleError(f"{name} uses the {what} {value!r}, which has no counterpart here.", REMEDY)


def _pipeline(plans: Json, found: Json, configuration: str) -> NnUNet:
    properties = plans.get("foreground_intensity_properties_per_channel")
    properties = properties or plans.get("foreground_intensity_properties_by_modality") or {}
    masks = found["use_mask_for_norm"]
    return NnUNet(
        configuration=configuration,
        orientation=ORIENTATIONS[plans["image_reader_writer"]],
        transpose=tuple(plans["transpose_forward"]),
        spacing=tuple(found["spacing"]),
        normalisation=tuple(
            _normalisation(scheme, bool(masked), properties.get(str(channel), {}))
            for channel, (scheme, masked) in enumerate(zip(found["normalization_schemes"], masks, strict=True))
        ),
        image_resampling=Resampling(
            function=found["resampling_fn_data"], arguments=_plain(found["resampling_fn_data_kwargs"])
        ),
        logits_resampling=Resampling(
            function=found["resampling_fn_probabilities"],
            arguments=_plain(found["resampling_fn_probabilities_kwargs"]),
        ),
    )


def _normalisation(scheme: str, masked: bool, properties: Json) -> Normalisation:
    kind = SCHEMES[scheme]
    if kind != "ct":
        return Normalisation(scheme=kind, masked=masked and kind == "zscore")
    return Normalisation(
        scheme="ct",
        mean=properties["mean"],
        deviation=properties["std"],
        low=properties["percentile_00_5"],
        high=properties["percentile_99_5"],
    )


def _plain(arguments: Json) -> Json:
    return {key: value for key, value in arguments.items() if key != "is_seg"}


def _classes(dataset: Json, name: str) -> tuple[tuple[LabelClass, ...], str]:
    labels = {key: value for key, value in dataset.get("labels", {}).items() if key != "ignore"}
    if any(isinstance(value, list) and len(value) > 1 for value in labels.values()):
        order = dataset.get("regions_class_order", [])
        regions = [key for key, value in labels.items() if value not in (0, [0], "0")]
        if len(order) != len(regions):
            raise BundleError(f"{name} has {len(regions)} regions, but an order of {len(order)}.", "Copy it again.")
        found = tuple(LabelClass(value=int(v), name=n) for v, n in zip(order, regions, strict=True))
        return (BACKGROUND, *found), "regions"
    by_value = {int(value[0] if isinstance(value, list) else value): str(key) for key, value in labels.items()}
    if sorted(by_value) != list(range(len(by_value))) or len(by_value) < 2:
        raise BundleError(f"{name} has the label values {sorted(by_value)}, with gaps.", REMEDY)
    return (BACKGROUND, *(LabelClass(value=k, name=by_value[k]) for k in range(1, len(by_value)))), "classes"


def _network(found: Json) -> tuple[str, Json]:
    about = found.get("architecture") or _old_architecture(found)
    network = str(about["network_class_name"]).rpartition(".")[2]
    if network not in get_args(Network):
        raise BundleError(
            f"The model has the network {network}, which is not built here.",
            f"Known are {', '.join(get_args(Network))}.",
        )
    return network, {key: value for key, value in about["arch_kwargs"].items() if key != "deep_supervision"}


def _old_architecture(found: Json) -> Json:
    """Return what plans of nnU-Net before 2.5 mean, in the words of later ones."""
    stages, dims = len(found["n_conv_per_stage_encoder"]), len(found["patch_size"])
    blocks = "n_conv_per_stage" if found["UNet_class_name"] == "PlainConvUNet" else "n_blocks_per_stage"
    first, most = found["UNet_base_num_features"], found["unet_max_num_features"]
    return {
        "network_class_name": found["UNet_class_name"],
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(first * 2**stage, most) for stage in range(stages)],
            "conv_op": f"torch.nn.Conv{dims}d",
            "kernel_sizes": found["conv_kernel_sizes"],
            "strides": found["pool_op_kernel_sizes"],
            blocks: found["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": found["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"torch.nn.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }


def _modality(channels: object) -> str | None:
    names = channels.values() if isinstance(channels, dict) else ()
    found = {MODALITIES.get(re.split(r"[^a-z0-9]", str(name).lower())[0]) for name in names}
    return found.pop() if len(found) == 1 else None
