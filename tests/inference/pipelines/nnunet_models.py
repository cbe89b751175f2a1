"""Small models as nnU-Net v2 writes them, with weights from its own classes."""

import copy
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SEPARATE = {"order": 1, "order_z": 0, "force_separate_z": None}


def plans(dims: int = 3, **changes: Any) -> Json:
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": [4, 6],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [[3] * dims] * 2,
            "strides": [[1] * dims, [2] * dims],
            "n_conv_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [12, 16, 14][-dims:] if dims == 3 else [16, 16],
        "spacing": [2.0, 1.0, 1.0][-dims:],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, **SEPARATE},
        "architecture": architecture,
    } | changes.pop("configuration", {})
    properties = {"mean": 90.0, "std": 60.0, "percentile_00_5": -50.0, "percentile_99_5": 300.0}
    return {
        "dataset_name": "Dataset004_Test",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "configurations": {f"{dims}d": configuration},
        "foreground_intensity_properties_per_channel": {str(k): properties for k in range(4)},
    } | changes


def dataset(**changes: Any) -> Json:
    labels = {"background": 0, "liver": 1, "tumour": 2}
    return {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"} | changes


def save_fold(folder: Path, plans: Json, dataset: Json, seed: int, mirror: tuple[int, ...] | None) -> None:
    import numpy as np
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    (configuration,) = plans["configurations"]
    manager = PlansManager(copy.deepcopy(plans))
    found = manager.get_configuration(configuration)
    torch.manual_seed(seed)
    network = get_network_from_plans(
        found.network_arch_class_name,
        found.network_arch_init_kwargs,
        found.network_arch_init_kwargs_req_import,
        len(dataset["channel_names"]),
        manager.get_label_manager(dataset).num_segmentation_heads,
        deep_supervision=False,
    )
    with torch.no_grad():
        # Clear decisions: what nnU-Net sums up in 16 bits is then rarely undecided.
        network.decoder.seg_layers[-1].weight *= 20
    folder.mkdir(exist_ok=True)
    checkpoint = {
        "network_weights": network.state_dict(),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": np.float64(0.01)}]},
        "logging": {"ema_fg_dice": [np.float32(0.5)], "dice_per_class_or_region": [[np.float64(0.5)]]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
        "init_args": {"configuration": configuration, "fold": seed, "plans": plans, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": mirror,
    }
    torch.save(checkpoint, folder / "checkpoint_final.pth")
