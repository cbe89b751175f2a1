"""The texts of a model's folder: MONAI's metadata and inference configuration, and the model card.

`inference_config` states in MONAI's words what `napari_medseg.inference` does, step by step and number by number, so
that MONAI alone gives the same labels. Change one only together with the other.
"""

from importlib.metadata import version
from typing import Any

from napari_medseg.models.family import citation
from napari_medseg.models.registry import network_def
from napari_medseg.models.spec import Intensity, ModelSpec

Json = dict[str, Any]

BLOCK = "napari_medseg"
"""Key of our own part of the metadata."""
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def tiles_at_once(spec: ModelSpec) -> int:
    """Return how many tiles make a batch by default: a few planes, or one block."""
    return 8 if spec.dims == 2 else 1


def is_planar(spec: ModelSpec) -> bool:
    """Return whether the model is for plane images without geometry, such as PNG files."""
    return spec.dims == 2 and spec.axcodes is None


def intensity_transform(intensity: Intensity) -> tuple[str, Json]:
    """Return the name and arguments of the MONAI transform that an intensity rule stands for."""
    if intensity.kind == "zscore":
        return "NormalizeIntensity", {"nonzero": intensity.nonzero}
    if intensity.kind == "minmax":
        return "ScaleIntensity", {"minv": 0.0, "maxv": 1.0}
    limits = {"b_min": 0.0, "b_max": 1.0, "clip": intensity.kind != "fixed"}
    if intensity.kind == "percentile":
        return "ScaleIntensityRangePercentiles", {"lower": intensity.low, "upper": intensity.high, **limits}
    return "ScaleIntensityRange", {"a_min": intensity.low, "a_max": intensity.high, **limits}


def metadata(spec: ModelSpec) -> Json:
    """Return ``configs/metadata.json``."""
    shape = list(spec.patch_size)
    image = {
        "type": "image",
        "format": "hounsfield" if spec.modality == "CT" else "magnitude",
        "modality": spec.modality or "any",
        "num_channels": spec.channels,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(k): f"channel {k}" if spec.channels > 1 else "image" for k in range(spec.channels)},
    }
    labels = {
        "type": "image" if spec.task == "segmentation" else "probabilities",
        "format": spec.task,
        "num_channels": spec.outputs,
        "spatial_shape": shape if spec.task == "segmentation" else [],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": spec.task == "segmentation",
        "channel_def": {str(k): c.name for k, c in enumerate(spec.classes[-spec.outputs :])},
    }
    if not spec.classes:
        labels |= {"type": "image", "num_channels": 1, "is_patch_data": True, "channel_def": {"0": "image"}}
        labels["spatial_shape"] = [n * f for n, f in zip(shape, spec.options.get("factor", (1,) * 3), strict=False)]
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "first version"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"pytorch-ignite": version("pytorch-ignite"), "nibabel": version("nibabel")},
        "name": spec.name,
        "task": f"{spec.dims}D {spec.task}",
        "description": spec.description or f"{spec.task.capitalize()} of {_foreground_names(spec) or 'images'}.",
        "authors": "",
        "copyright": "",
        "intended_use": "Research only; not a medical device.",
        "references": [text for text in (spec.citation, citation(spec)) if text],
        "eval_metrics": dict(spec.metrics),
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": labels}},
        BLOCK: {"format": 1, "spec": spec.model_dump(mode="json")},
    }


def inference_config(spec: ModelSpec) -> Json:
    """Return ``configs/inference.json``; runs with ``python -m monai.bundle run`` where MONAI is all there is."""
    extension = ".png" if is_planar(spec) else ".nii.gz"
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "image": "",
        "dataset_dir": "$@bundle_root + '/images'",
        "pattern": f"*{extension}",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$[@image] if @image else sorted(glob.glob(os.path.join(@dataset_dir, @pattern)))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        **network_def(spec).to_config(),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(spec)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": _inferer(spec),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(spec, extension)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def _preprocessing(spec: ModelSpec) -> list[Json]:
    reader = {"reader": "PILReader", "reverse_indexing": False} if is_planar(spec) else {}
    steps: list[Json] = [
        {"_target_": "LoadImaged", "keys": "image", **reader},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
    ]
    if spec.axcodes:
        labels = [["L", "R"], ["P", "A"], ["I", "S"]]
        steps.append({"_target_": "Orientationd", "keys": "image", "axcodes": spec.axcodes, "labels": labels})
    elif not is_planar(spec):
        steps.append(_reversed_axes("image"))
    # Sums depend on the order of memory, so both sides use the same; values that are no numbers become zero.
    tidy = "$lambda image: torch.nan_to_num(image.contiguous(), nan=0.0, posinf=0.0, neginf=0.0)"
    steps.append({"_target_": "Lambdad", "keys": "image", "func": tidy})
    if spec.spacing:
        steps.append({"_target_": "Spacingd", "keys": "image", "pixdim": list(spec.spacing), "mode": "bilinear"})
    name, arguments = intensity_transform(spec.intensity)
    steps.append({"_target_": f"{name}d", "keys": "image", **arguments})
    return steps


def _reversed_axes(key: str) -> Json:
    """Return the step between MONAI's (x, y, z) and our (z, y, x), for images taken as they are stored."""
    return {"_target_": "Transposed", "keys": key, "indices": [0, 3, 2, 1]}


def _inferer(spec: ModelSpec) -> Json:
    return {
        "_target_": "SliceInferer" if spec.dims == 2 and not is_planar(spec) else "SlidingWindowInferer",
        "roi_size": list(spec.patch_size),
        "sw_batch_size": tiles_at_once(spec),
        "overlap": spec.overlap,
        "mode": spec.blending,
    }


def _postprocessing(spec: ModelSpec, extension: str) -> list[Json]:
    steps: list[Json] = []
    if spec.interpolated == "probabilities":
        steps.append({"_target_": "Activationsd", "keys": "pred", "softmax": True})
    if spec.axcodes:
        invert = {"keys": "pred", "transform": "@preprocessing", "orig_keys": "image", "nearest_interp": False}
        steps.append({"_target_": "Invertd", **invert})
    steps.append({"_target_": "AsDiscreted", "keys": "pred", "argmax": True})
    values = [c.value for c in spec.classes]
    if values != list(range(len(values))):
        mapping = {"orig_labels": list(range(len(values))), "target_labels": values}
        steps.append({"_target_": "MapLabelValued", "keys": "pred", **mapping})
    if is_planar(spec):
        # The writer of plane images swaps the axes.
        steps.append({"_target_": "Transposed", "keys": "pred", "indices": [0, 2, 1]})
    elif not spec.axcodes:
        steps.append(_reversed_axes("pred"))
    saved = {"output_dir": "@output_dir", "output_ext": extension, "output_postfix": "seg", "separate_folder": False}
    steps.append(
        {"_target_": "SaveImaged", "keys": "pred", **saved, "output_dtype": label_dtype(spec), "resample": False}
    )
    return steps


def label_dtype(spec: ModelSpec) -> str:
    """Return the smallest unsigned number type that holds all class values."""
    return "uint8" if max(c.value for c in spec.classes) < 256 else "uint16"


def _foreground_names(spec: ModelSpec) -> str:
    return ", ".join(c.name for c in spec.foreground)
