"""A MONAI bundle that executes code runs as MONAI runs it, once it is trusted, and not before."""

import json
import os
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch

from napari_medseg.errors import BundleError, ConfigError, TrustError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read, write
from napari_medseg.models import AddOptions, Bundle, add, find, library, remove
from napari_medseg.models.trust import distrust, trusted

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv3d(1, width, 3, padding=1), torch.nn.Conv3d(width, 3, 1))

    def forward(self, x):
        return self.layers(x) + 0.3 * torch.sin(x)
"""
CONFIG = {
    "imports": ["$import glob", "$from pathlib import Path"],
    "bundle_root": ".",
    "image": "",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cpu')",
    "width": "$2 + 2",
    "network_def": {"_target_": "scripts.net.Net", "width": "@width"},
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: (x - 50) / 30"},
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "dataset": {"_target_": "Dataset", "data": "$[{'image': @image}]", "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "output_dir": "@output_dir",
                "resample": False,
                "separate_folder": False,
                "output_postfix": "seg",
            },
        ],
    },
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
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
    },
    "run": ["$@evaluator.run()"],
}
CLASSES = {"num_channels": 3, "channel_def": {"0": "nothing", "1": "spleen", "2": "liver"}}
METADATA = {
    "name": "Coded",
    "network_data_format": {"inputs": {"image": {"num_channels": 1}}, "outputs": {"pred": CLASSES}},
}


@pytest.fixture
def coded(tmp_path):
    folder = tmp_path / "made" / "coded"
    for name in ("configs", "models", "scripts"):
        (folder / name).mkdir(parents=True)
    (folder / "scripts" / "__init__.py").write_text("")
    (folder / "scripts" / "net.py").write_text(NET)
    (folder / "configs" / "inference.json").write_text(json.dumps(CONFIG))
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    scope: dict = {}
    exec(NET, scope)
    torch.manual_seed(0)
    torch.save(scope["Net"](4).state_dict(), folder / "models" / "model.pt")
    return folder


def scan(path):
    affine = np.array([[0, 0.2, 1.9, -20], [-1.3, 0.1, 0, 10], [0.1, 1.1, 0, 5], [0, 0, 0, 1.0]])
    data = 50 + 30 * np.random.default_rng(0).normal(size=(24, 22, 17)).cumsum(0) / 3
    nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def test_the_labels_are_those_of_monai_on_the_image_s_own_grid(coded, tmp_path):
    image = scan(tmp_path / "scan.nii.gz")
    arguments = ["--bundle_root", ".", "--image", image, "--output_dir", tmp_path / "theirs"]
    config = ["--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json"]
    environment = {**os.environ, "PYTHONPATH": str(coded), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "monai.bundle", "run", *config, *map(str, arguments)]
    subprocess.run(command, cwd=coded, env=environment, check=True, capture_output=True)
    theirs = nibabel.load(tmp_path / "theirs" / "scan_seg.nii.gz")

    bundle = add(coded, AddOptions(trust=True))
    *_, finished = predict(read(image)[0], bundle, PredictOptions(device="cpu"))

    ours = nibabel.load(write(finished.result, tmp_path / "ours.nii.gz"))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    assert len(np.unique(np.asarray(ours.dataobj))) == 3
    assert (np.asarray(ours.dataobj) == np.asarray(theirs.dataobj)).mean() > 0.9995
    assert [c.name for c in bundle.spec.classes] == ["background", "spleen", "liver"]
    assert not (bundle.path / "eval").exists()
    # The folder is as it was, so trust in it goes on.
    assert Bundle.load(bundle.path).spec.name == "Coded"
    assert not any("scripts" in name for name in sys.modules if name.startswith("scripts"))


def test_nothing_runs_without_trust_and_a_changed_byte_ends_it(coded, tmp_path):
    with pytest.raises(TrustError, match=r"would execute code|is not among those") as caught:
        add(coded)
    assert "--trust" in caught.value.remedy
    assert library() == []
    bundle = add(coded, AddOptions(trust=True))
    assert [entry.name for entry in trusted()] == ["Coded"]
    assert find("Coded").path == bundle.path
    script = bundle.path / "scripts" / "net.py"
    script.write_text(script.read_text() + "\n")
    with pytest.raises(TrustError):
        Bundle.load(bundle.path)
    with pytest.raises(TrustError):
        list(predict(read(scan(tmp_path / "scan.nii.gz"))[0], bundle, PredictOptions(device="cpu")))
    assert library() == []
    # What does not run can still be thrown away.
    assert remove(bundle.path.name).name == "Coded"


def test_maps_that_overlap_become_one_where_the_last_one_counts(coded, tmp_path):
    config, about = json.loads(json.dumps(CONFIG)), json.loads(json.dumps(METADATA))
    config["postprocessing"]["transforms"][0] = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    config["postprocessing"]["transforms"][2] = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    about["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "whole", "1": "core", "2": "rim"}
    (coded / "configs" / "inference.json").write_text(json.dumps(config))
    (coded / "configs" / "metadata.json").write_text(json.dumps(about))
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    bundle = add(coded, AddOptions(trust=True))
    assert [(c.value, c.name) for c in bundle.spec.classes] == [
        (0, "background"),
        (1, "whole"),
        (2, "core"),
        (3, "rim"),
    ]
    *_, finished = predict(volume, bundle, PredictOptions(device="cpu"))
    labels = finished.result.label_map.labels

    # Each of the maps alone, as MONAI gives it.
    scripts = []
    for channel in range(3):
        config["postprocessing"]["transforms"][3] = {
            "_target_": "Lambdad",
            "keys": "pred",
            "func": f"$lambda x: x[{channel}:{channel + 1}]",
        }
        scripts.append(json.dumps(config))
    alone = []
    for number, text in enumerate(scripts):
        folder = tmp_path / f"alone {number}"
        shutil.copytree(coded, folder)
        (folder / "configs" / "inference.json").write_text(text)
        *_, finished = predict(volume, add(folder, AddOptions(trust=True)), PredictOptions(device="cpu"))
        alone.append(finished.result.label_map.labels)
    wanted = np.select([alone[2] > 0, alone[1] > 0, alone[0] > 0], [3, 2, 1], 0)
    np.testing.assert_array_equal(labels, wanted)
    assert set(np.unique(labels)) >= {1, 2, 3}


def test_trust_is_revocable(coded):
    bundle = add(coded, AddOptions(trust=True))
    (entry,) = trusted()
    distrust(entry.digest)
    with pytest.raises(TrustError):
        Bundle.load(bundle.path)


def test_what_it_does_not_give_is_refused(coded, tmp_path):
    bundle = add(coded, AddOptions(trust=True))
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    with pytest.raises(ConfigError, match="gives labels only"):
        list(predict(volume, bundle, PredictOptions(device="cpu", uncertainty=True)))
    with pytest.raises(ConfigError, match="keeps its name"):
        add(coded, AddOptions(name="Mine"))
    folder = remove("Coded")
    assert not folder.exists()
    assert coded.exists()


def test_an_error_of_the_bundle_s_code_is_told_in_one_sentence(coded, tmp_path):
    script = coded / "scripts" / "net.py"
    script.write_text(script.read_text().replace("torch.sin(x)", "torch.no_such(x)"))
    bundle = add(coded, AddOptions(trust=True))
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    with pytest.raises(BundleError, match=r"configuration of Coded could not predict \(AttributeError.*no_such"):
        list(predict(volume, bundle, PredictOptions(device="cpu")))
