"""A saved model, run by MONAI alone, gives the labels that we give, voxel for voxel, on the same grid."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from napari_medseg.inference import predict
from napari_medseg.io import read, write
from napari_medseg.models import Bundle, Intensity, ModelSpec, build
from napari_medseg.volume import LabelClass, Volume

pytestmark = pytest.mark.slow

CLASSES = tuple(LabelClass(value=value, name=name) for value, name in enumerate(("background", "a", "b")))
SPARSE_CLASSES = tuple(LabelClass(value=value, name=f"class {value}") for value in (0, 7, 300))

RUN_ALL = """
import json, sys
from monai.bundle import run
for arguments in json.load(sys.stdin):
    run(run_id="run", **arguments)
"""


@dataclass
class Case:
    """An image file and the model for it."""

    spec: dict[str, Any]
    shape: tuple[int, ...]
    spacing: tuple[float, float, float] = (1, 1, 1)
    degrees: tuple[float, float, float] = (0, 0, 0)
    flips: tuple[int, int, int] = (1, 1, 1)
    slope: float | None = None
    holes: bool = False
    shear: float = 0.0

    def affine(self) -> np.ndarray:
        affine = np.eye(4)
        rotation = Rotation.from_euler("xyz", self.degrees, degrees=True).as_matrix()
        affine[:3, :3] = rotation @ np.diag(np.multiply(self.spacing, self.flips))
        affine[0, 1] += self.shear
        affine[:3, 3] = (-71.3, 40.25, 12.5)
        return affine

    def save(self, path: Path) -> None:
        data = textured(self.shape)
        if self.holes:
            data = data.astype(np.float32)
            data[:4], data[5, 5, 5] = np.nan, np.inf
        image = nibabel.Nifti1Image(data, self.affine())
        if self.slope:
            image.header.set_slope_inter(self.slope, -12.5)
        image.to_filename(path)


CASES = {
    "3d": Case({"patch_size": (16, 16, 16)}, (23, 31, 19)),
    "anisotropic-flipped-sparse-values": Case(
        {"patch_size": (8, 32, 32), "options": {"features": 4, "spacing": [4, 1, 1]}, "classes": SPARSE_CLASSES},
        (37, 29, 11),
        spacing=(0.7, 0.8, 3.5),
        flips=(-1, 1, -1),
    ),
    "oblique-resampled": Case(
        {"patch_size": (16, 16, 16), "spacing": (1.5, 1.0, 1.2), "intensity": Intensity(kind="percentile")},
        (26, 24, 17),
        spacing=(1.1, 0.9, 2.2),
        degrees=(20, -15, 50),
        flips=(1, -1, 1),
    ),
    "sheared-resampled": Case(
        {"patch_size": (16, 16, 16), "spacing": (1.0, 1.0, 1.0)}, (30, 28, 26), spacing=(0.8, 0.9, 1.3), shear=0.2
    ),
    "planes-of-a-volume": Case(
        {"dims": 2, "patch_size": (16, 24), "intensity": Intensity(kind="zscore", nonzero=True)},
        (29, 37, 11),
        spacing=(0.9, 0.9, 4.0),
        degrees=(5, 0, 3),
        flips=(-1, -1, 1),
    ),
    "sagittal-planes-resampled": Case(
        {
            "dims": 2,
            "axcodes": "LSP",
            "patch_size": (32, 32),
            "spacing": (2, 1, 1),
            "intensity": Intensity(kind="window", low=-150, high=250),
        },
        (11, 33, 47),
        spacing=(3.3, 0.9, 0.7),
        degrees=(0, 90, 8),
    ),
    "tile-larger-than-image": Case({"patch_size": (32, 32, 32), "architecture": "unet"}, (17, 19, 23)),
    "axes-as-stored": Case({"patch_size": (16, 16, 16), "axcodes": None}, (17, 19, 23), spacing=(1, 1, 2)),
    "scaled-values": Case({"patch_size": (16, 16, 16)}, (17, 19, 23), slope=0.37),
    "values-that-are-no-numbers": Case(
        {"patch_size": (16, 16, 16), "spacing": (1.3, 1.3, 1.3)}, (17, 19, 23), holes=True
    ),
    "layers-in-a-row": Case(
        {
            "architecture": "meshnet",
            "patch_size": (24, 24, 24),
            "options": {"features": 4, "dilations": [1, 2, 1], "activation": "elu", "instance_norm": True},
            "axcodes": "LIA",
            "spacing": (1.0, 1.0, 1.0),
            "intensity": Intensity(kind="minmax"),
        },
        (17, 19, 23),
        spacing=(1.1, 1.3, 0.9),
    ),
    "two-channels": Case({"patch_size": (16, 16, 16), "channels": 2}, (17, 19, 23, 2), spacing=(2, 1, 1.5)),
}


def textured(shape: tuple[int, ...]) -> np.ndarray:
    """Return int16 blobs and noise, different in every corner, with a fixed seed."""
    grid = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    waves = sum(np.sin((k + 2) * axis) for k, axis in enumerate(grid))
    return (100 * waves + np.random.default_rng(0).normal(0, 30, shape)).astype(np.int16)


def save_bundle(path: Path, **fields) -> Bundle:
    """Save a small network with fixed random weights."""
    options = {} if fields.get("architecture") == "unet" else {"features": 4}
    values = {"name": "tiny", "architecture": "dynunet", "options": options, "classes": CLASSES} | fields
    spec = ModelSpec(**values)
    torch.manual_seed(0)
    return Bundle.create(spec, build(spec).state_dict()).save(path)


def without_us(folder: Path) -> dict[str, str]:
    """Return an environment in which our package cannot be imported."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['napari_medseg'] = None\n")
    return os.environ | {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def by_monai(tmp_path_factory) -> Path:
    """Return a folder with a bundle, an image and MONAI's labels per case, all made in one process of MONAI."""
    folder = tmp_path_factory.mktemp("monai")
    runs = []
    for name, case in CASES.items():
        bundle = save_bundle(folder / name / "bundle", **case.spec)
        case.save(folder / name / "scan.nii.gz")
        runs.append(
            {
                "config_file": str(bundle.path / "configs" / "inference.json"),
                "bundle_root": str(bundle.path),
                "image": str(folder / name / "scan.nii.gz"),
                "output_dir": str(folder / name),
            }
        )
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        env=without_us(folder / "barrier"),
        input=json.dumps(runs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", CASES)
def test_monai_alone_gives_the_same_label_file(name, by_monai, tmp_path):
    theirs = nibabel.load(by_monai / name / "scan_seg.nii.gz")
    *_, finished = predict(read(by_monai / name / "scan.nii.gz")[0], Bundle.load(by_monai / name / "bundle"))
    ours = nibabel.load(write(finished.result, tmp_path / "ours.nii.gz"))

    expected = np.asarray(theirs.dataobj)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(np.asarray(ours.dataobj), expected)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert ours.get_data_dtype() == theirs.get_data_dtype()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_command_of_the_model_card_on_a_plane_picture(channels, tmp_path):
    bundle = save_bundle(tmp_path / "bundle", dims=2, axcodes=None, channels=channels, patch_size=(16, 32))
    pixels = np.random.default_rng(1).integers(0, 255, (37, 53, 3)[: 2 + (channels == 3)], dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos" / "photo.png")

    where = ["--dataset_dir", str(tmp_path / "photos"), "--output_dir", str(tmp_path / "labels")]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", *where]
    environment = without_us(tmp_path / "barrier")
    done = subprocess.run(command, cwd=bundle.path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    theirs = np.asarray(Image.open(tmp_path / "labels" / "photo_seg.png"))
    *_, finished = predict(Volume(pixels, None, rgb=channels == 3), bundle)
    assert len(np.unique(theirs)) > 1
    np.testing.assert_array_equal(finished.result.label_map.labels, theirs)


def test_monai_accepts_the_declared_input_and_output(tmp_path):
    bundle = save_bundle(tmp_path / "bundle", patch_size=(16, 16, 16), channels=2)
    files = ["--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json"]
    command = [sys.executable, "-m", "monai.bundle", "verify_net_in_out", "network_def", *files]
    done = subprocess.run(command, cwd=bundle.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
