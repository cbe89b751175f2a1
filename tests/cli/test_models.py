"""``models``: every kind of model goes in, is described, and goes out again."""

import hashlib
import io
import json
import warnings
import zipfile

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, ModelSpec, build, ensemble, library
from napari_medseg.prediction import LabelClass
from napari_medseg.training import create_run

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=1, name="cell"))


def bundle(seed: int, name: str) -> Bundle:
    torch.manual_seed(seed)
    fields = {"architecture": "unet", "options": {"features": 2, "stages": 2}, "patch_size": (8, 8, 8)}
    spec = ModelSpec(name=name, classes=CLASSES, licence="MIT", **fields)
    return Bundle.create(spec, build(spec).state_dict())


def test_a_model_is_added_shown_and_removed(command, tmp_path):
    made = bundle(0, "liver").save(tmp_path / "liver")
    added = command("models", "add", made.path)
    assert added.code == 0
    assert all(text in added.out for text in ("liver", "Residual U-Net", "1 cell", "MIT"))
    assert command("models", "add", made.path, "--name", "Second").code == 0
    assert [found.spec.name for found in library()] == ["liver", "Second"]
    assert command("models", "list", "--json").json["models"] == command("models", "--json").json["models"]
    assert command("models", "info", "Second", "--json").json["spec"]["name"] == "Second"
    assert "liver" in command("models", "info", made.path).out
    assert "models/liver." in command("models", "remove", "liver").out.replace("\\", "/")
    assert [found.spec.name for found in library()] == ["Second"]
    missing = command("models", "remove", "liver")
    assert (missing.code, "You have: Second" in missing.err) == (2, True)


def test_a_program_needs_trust_which_can_be_taken_back(command, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Conv3d(1, 2, 1)), str(tmp_path / "net.ts"))
    arguments = (
        "models",
        "add",
        tmp_path / "net.ts",
        "--set",
        "patch_size=8,8,8",
        "--set",
        'classes=["background","x"]',
    )
    refused = command(*arguments)
    assert (refused.code, "--trust" in refused.err) == (2, True)
    assert command(*arguments, "--trust").code == 0
    assert "net" in command("models", "distrust").out
    assert "may not run any more" in command("models", "distrust", "net").out
    assert command("models", "distrust", "net").code == 2


def test_weights_need_an_architecture(command, tmp_path):
    torch.save(bundle(0, "x").state_dict(), tmp_path / "weights.pth")
    assert command("models", "add", tmp_path / "weights.pth").code == 2
    settings = ("architecture=unet", 'options={"features":2,"stages":2}', "patch_size=8,8,8")
    flags = [part for text in settings for part in ("--set", text)]
    assert command("models", "add", tmp_path / "weights.pth", *flags).code == 0
    assert command("models", "info", "weights").code == 0


@pytest.fixture
def zoo(web, tmp_path, monkeypatch):
    made = bundle(0, "Spleen").save(tmp_path / "made" / "spleen_ct")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for file in sorted(made.path.rglob("*")):
            packed.write(file, file.relative_to(made.path.parent))
    entry = {"checksum": hashlib.sha1(buffer.getvalue()).hexdigest(), "source": f"{web.address}/spleen.zip"}
    web.content["/zoo/model_info.json"] = json.dumps({"spleen_ct_v0.1.0": entry}).encode()
    web.content["/zoo/spleen_ct/LICENSE"] = b"Apache License Version 2.0"
    web.content["/spleen.zip"] = buffer.getvalue()
    monkeypatch.setenv("NAPARI_MEDSEG_ZOO", f"{web.address}/zoo")
    return web


def test_a_zoo_model_is_fetched_once_its_licence_is_agreed_to(command, zoo):
    assert "spleen_ct" in command("models", "zoo").out
    assert command("models", "zoo", "--json").json["zoo"] == {"spleen_ct": "0.1.0"}
    asked = command("models", "add", "spleen_ct")
    assert asked.code != 0
    assert "Apache-2.0" in asked.err
    assert library() == []
    assert command("models", "add", "spleen_ct", "--yes").code == 0
    assert [found.spec.name for found in library()] == ["Spleen"]


def test_without_a_connection_one_line_says_so(command, monkeypatch):
    monkeypatch.setenv("NAPARI_MEDSEG_ZOO", "http://127.0.0.1:9")
    refused = command("models", "add", "spleen_ct", "--yes")
    assert refused.code == 2
    assert "cannot be reached" in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_an_ensemble_is_made_or_used_at_once(command, tmp_path):
    folders = [bundle(seed, f"m{seed}").save(tmp_path / f"m{seed}").path for seed in range(2)]
    data = np.random.default_rng(0).normal(size=(9, 8, 10)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "scan.nii.gz")
    assert "Mean of 2 models" in command("models", "ensemble", "both", *folders).out
    common = (tmp_path / "scan.nii.gz", "--set", "device=cpu", "--set", "uncertainty=true")
    first = command("predict", "both", *common, "--out", tmp_path / "a")
    more = ("--ensemble", folders[1], "--set", "measure=mutual_information")
    second = command("predict", folders[0], *common, *more, "--out", tmp_path / "b")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    one, other = (nibabel.load(tmp_path / place / "scan.nii.gz") for place in "ab")
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    dispute = nibabel.load(tmp_path / "b" / "scan-uncertainty.nii.gz").get_fdata()
    assert 0 < dispute.max() < nibabel.load(tmp_path / "a" / "scan-uncertainty.nii.gz").get_fdata().max()
    assert [found.spec.name for found in library()] == ["both"]


def test_what_cannot_be_trained_further_is_refused(tmp_path):
    both = ensemble("both", [bundle(seed, f"m{seed}") for seed in range(2)])
    with pytest.raises(ConfigError, match=r"both cannot be trained further: .* 'Mean of 2 models'"):
        create_run(tmp_path / "run", both.spec, [])
    assert not (tmp_path / "run").exists()
