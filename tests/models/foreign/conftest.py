"""A MONAI bundle as other makers write it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Json = dict[str, Any]
ARGUMENTS = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}


def inference() -> Json:
    invert = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}
    saved = {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "separate_folder": False}
    loader = {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'"}
    window = {"a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1, "clip": True}
    evaluator = {"_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader"}
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "image": "",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cpu')",
        "image_key": "image",
        "voxel": {"mm": [1.5, 1.2, 2.0]},
        "network_def": {"_target_": "UNet", **ARGUMENTS},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "@image_key"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {
                    "_target_": "Orientationd",
                    "keys": "image",
                    "axcodes": "RAS",
                    "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
                },
                {"_target_": "Spacingd", "keys": ["image"], "pixdim": "@voxel::mm", "mode": "bilinear"},
                {"_target_": "ScaleIntensityRanged", "keys": "image", **window},
                {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': @image}]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.25, "mode": "gaussian"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {**invert, "nearest_interp": False},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {**saved, "resample": False, "output_postfix": "seg"},
            ],
        },
        "handlers": [{**loader, "load_dict": {"model": "@network"}}],
        "evaluator": {
            **evaluator,
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def metadata() -> Json:
    classes = {"channel_def": {"0": "nothing", "1": "spleen", "2": "liver"}}
    return {
        "name": "Two organs",
        "version": "0.5.9",
        "description": "A foreign model.",
        "references": ["Somebody et al."],
        "network_data_format": {"inputs": {"image": {"modality": "CT"}}, "outputs": {"pred": classes}},
    }


@pytest.fixture
def foreign(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a bundle's folder after a change of its configuration, and gives the folder."""

    def write(change: Callable[[Json], object] = lambda _config: None, wrap: bool = False) -> Path:
        from monai.networks.nets import UNet

        folder = tmp_path / "two_organs"
        for name in ("configs", "models"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = inference()
        change(config)
        (folder / "configs" / "inference.json").write_text(json.dumps(config))
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata()))
        (folder / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
        torch.manual_seed(0)
        network = config["network_def"] if isinstance(config["network_def"], dict) else {}
        state = UNet(**ARGUMENTS | {"spatial_dims": network.get("spatial_dims", 3)}).state_dict()
        torch.save({"model": state} if wrap else state, folder / "models" / "model.pt")
        return folder

    return write
