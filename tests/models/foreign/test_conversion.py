"""MONAI bundles of other makers work as far as they are data, and nothing in them is ever executed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_medseg.errors import BundleError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read, write
from napari_medseg.models import Bundle


def test_plain_configurations_become_specifications(foreign):
    bundle = Bundle.load(foreign())
    spec = bundle.spec
    assert (spec.name, spec.modality, spec.licence, spec.citation) == (
        "Two organs",
        "CT",
        "Apache-2.0",
        "Somebody et al.",
    )
    assert [(c.value, c.name) for c in spec.classes] == [(0, "background"), (1, "spleen"), (2, "liver")]
    assert (spec.axcodes, spec.spacing, spec.patch_size) == ("RAS", (1.5, 1.2, 2.0), (16, 16, 16))
    assert (spec.intensity.kind, spec.intensity.low, spec.intensity.high) == ("window", -57, 164)
    assert spec.description == "A foreign model."
    assert bundle.network().training is False


def test_weights_among_other_things_are_found(foreign):
    plain = Bundle.load(foreign()).network().state_dict()
    wrapped = Bundle.load(foreign(wrap=True)).network().state_dict()
    assert all(bool((wrapped[name] == tensor).all()) for name, tensor in plain.items())


def test_a_converted_model_is_kept_as_one_of_ours(foreign, tmp_path):
    bundle = Bundle.load(foreign())
    kept = Bundle.load(bundle.save(tmp_path / "kept").path)
    assert kept.spec == bundle.spec
    assert json.loads((tmp_path / "kept" / "configs" / "inference.json").read_text())["network_def"]["_target_"] == (
        "monai.networks.nets.UNet"
    )


def steps(config):
    return config["preprocessing"]["transforms"]


def planes(config):
    config["network_def"]["spatial_dims"] = 2
    config["inferer"] = {"_target_": "SliceInferer", "roi_size": [32, 48], "spatial_dim": 2}


def test_planes_across_the_last_axis_come_first_here(foreign):
    spec = Bundle.load(foreign(planes)).spec
    assert (spec.dims, spec.axcodes, spec.spacing, spec.patch_size) == (2, "SRA", (2.0, 1.5, 1.2), (32, 48))
    assert (spec.overlap, spec.blending) == (0.25, "constant")


CODE = "$__import__('pathlib').Path('executed').touch()"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(network_def=CODE), r"would execute code: network_def is .*__import__"),
        (lambda c: c["network_def"].update(act=CODE), r"would execute code: network_def::act"),
        (lambda c: c["network_def"].update(act=["relu", {"inplace": "@device"}]), r"network_def::act::1::inplace is"),
        (lambda c: c["network_def"].update(_target_="os.system"), "network os.system, which is not among"),
        (lambda c: c["network_def"].update(_target_="monai.networks.nets.FlexibleUNet"), "network FlexibleUNet"),
        (lambda c: c["network_def"].update(_mode_="debug"), "the key '_mode_' is not a plain argument"),
        (lambda c: c.update(preprocessing=CODE), "would execute code: preprocessing is"),
        (lambda c: c["preprocessing"].update(transforms=CODE), "code: preprocessing::transforms"),
        (lambda c: steps(c).insert(2, {"_target_": "Lambdad", "keys": "image", "func": CODE}), "code: Lambdad::func"),
        (lambda c: steps(c)[4].update(a_min=CODE), "code: ScaleIntensityRanged::a_min"),
        (lambda c: steps(c)[4].update(_disabled_=CODE), "would execute code: preprocessing::4"),
        (lambda c: c["inferer"].update(roi_size=CODE), "code: inferer::roi_size"),
        (lambda c: c["postprocessing"]["transforms"].append({"_target_": "Lambdad", "func": CODE}), "Lambdad::func"),
        (lambda c: c.update(network_def="@network_def"), "refers to itself"),
        (lambda c: c["voxel"].update(mm=["@voxel::mm"]), "refers to itself"),
        (lambda c: steps(c)[3].update(pixdim="@gone"), "refers to '@gone', which is not there"),
        (lambda c: c.pop("preprocessing"), "has no 'preprocessing'"),
        (
            lambda c: steps(c).insert(2, {"_target_": "CropForegroundd", "keys": "image"}),
            "prepares images with CropFore",
        ),
        (lambda c: steps(c).reverse(), "in another order"),
        (lambda c: steps(c).pop(2), "does not turn images"),
        (lambda c: steps(c).pop(4), "does not scale intensities"),
        (lambda c: steps(c)[3].update(mode="nearest"), "Spacingd with mode = 'nearest'"),
        (lambda c: steps(c)[4].update(b_min=-1), "with b_min = -1"),
        (lambda c: steps(c)[4].pop("clip"), "without clip"),
        (lambda c: steps(c)[2].update(axcodes="XYZ"), "impossible axcodes"),
        (lambda c: c["inferer"].update(_target_="SimpleInferer"), "applies its network by SimpleInferer"),
        (lambda c: c["inferer"].update(padding_mode="reflect"), "with padding_mode = 'reflect'"),
        (lambda c: c["postprocessing"]["transforms"][0].pop("nearest_interp"), "by the nearest voxel"),
        (lambda c: c["postprocessing"]["transforms"].pop(0), "does not bring labels back"),
        (
            lambda c: c["postprocessing"]["transforms"].insert(0, {"_target_": "AsDiscreted", "argmax": True}),
            "by the near",
        ),
        (
            lambda c: c["postprocessing"]["transforms"].insert(0, {"_target_": "Activationsd", "sigmoid": True}),
            "makes labels with Activationsd",
        ),
        (lambda c: c["network_def"].pop("out_channels"), "does not say how many out_channels"),
    ],
)
def test_what_is_no_data_is_refused_by_name(change, message, foreign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.load(foreign(change))
    assert caught.value.remedy
    assert not (tmp_path / "executed").exists()


def test_arguments_that_the_network_does_not_take_are_told(foreign):
    with pytest.raises(BundleError, match=r"no monai\.networks\.nets\.UNet with these arguments .*wings"):
        Bundle.load(foreign(lambda c: c["network_def"].update(wings=2))).network()


def as_in_the_zoo(config):
    """Tiles that count the same and share half, and probabilities that are brought back."""
    config["inferer"] = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 4}
    config["inferer"]["overlap"] = 0.5
    config["postprocessing"]["transforms"].insert(0, {"_target_": "Activationsd", "keys": "pred", "softmax": True})


def much_overlap(config):
    config["inferer"]["overlap"] = 0.625
    steps(config)[2]["axcodes"] = "LPS"
    steps(config)[4:5] = [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}]


def coronal_planes(config):
    config["network_def"]["spatial_dims"] = 2
    config["inferer"] = {"_target_": "SliceInferer", "roi_size": [16, 12], "spatial_dim": 1, "overlap": 0.5}


def test_what_is_brought_back_is_known(foreign):
    spec = Bundle.load(foreign(as_in_the_zoo)).spec
    assert (spec.overlap, spec.blending, spec.interpolated) == (0.5, "constant", "probabilities")


RUN_ALL = """
import json, sys
from monai.bundle import run
for arguments in json.load(sys.stdin):
    run(run_id="run", **arguments)
"""


@pytest.mark.slow
def test_monai_with_the_maker_s_own_configuration_gives_the_same_labels(foreign, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, -15, 50), degrees=True).as_matrix() @ np.diag([1.1, -0.9, 2.2])
    data = np.random.default_rng(0).normal(50, 90, (26, 24, 17)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "scan.nii.gz")
    runs = []
    for change in (lambda _config: None, as_in_the_zoo, much_overlap, coronal_planes):
        folder = foreign(change).rename(tmp_path / str(len(runs)))
        arguments = {"bundle_root": str(folder), "image": str(tmp_path / "scan.nii.gz"), "output_dir": str(folder)}
        runs.append(arguments | {"config_file": str(folder / "configs" / "inference.json")})
    command = [sys.executable, "-c", RUN_ALL]
    done = subprocess.run(
        command, input=json.dumps(runs), env=os.environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]

    for run in runs:
        folder = Path(run["bundle_root"])
        theirs = nibabel.load(folder / "scan_seg.nii.gz")
        for bundle in (Bundle.load(folder), Bundle.load(Bundle.load(folder).save(folder / "ours").path)):
            *_, finished = predict(read(tmp_path / "scan.nii.gz")[0], bundle, PredictOptions(device="cpu"))
            ours = nibabel.load(write(finished.result, folder / "ours.nii.gz", overwrite=True))
            assert len(np.unique(theirs.dataobj)) > 1
            np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj), err_msg=folder.name)
            np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-9)


def test_probabilities_that_were_brought_back_are_those_that_the_labels_come_from(foreign, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.arange(24 * 22 * 9.0).reshape(24, 22, 9), np.eye(4)), tmp_path / "scan.nii.gz")
    options = PredictOptions(device="cpu", probabilities=True)
    bundle = Bundle.load(foreign(as_in_the_zoo))
    *_, finished = predict(read(tmp_path / "scan.nii.gz")[0], bundle, options)
    found = finished.result.outputs[1].probabilities
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=0), finished.result.label_map.labels)
