"""TotalSegmentator's tasks: laid out as its package does, merged as its package does."""

import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nnunet_models import dataset, plans, save_fold
from scipy import ndimage

from napari_medseg.errors import BundleError, ConfigError, LicenceError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.inference.pipelines.parts import merge, resampled
from napari_medseg.io import read, write
from napari_medseg.models import AddOptions, Bundle, ModelSpec, add, build
from napari_medseg.models.family import SEVERAL
from napari_medseg.models.importing.totalsegmentator import tasks, weights_folder
from napari_medseg.models.pipeline import Parts
from napari_medseg.prediction import LabelClass

FAST = {"normalization_schemes": ["CTNormalization"]}


@pytest.fixture
def package():
    """Return the package's two tables, if it is installed."""
    reason = "needs the extra totalsegmentator"
    configs = pytest.importorskip("totalsegmentator.map_tasks_config", reason=reason)
    return configs, pytest.importorskip("totalsegmentator.map_to_binary", reason=reason)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path / "weights"))
    return weights_folder()


def lay_out(weights: Path, about: dict, trainer: str, labels: dict[str, int], seed: int, spacing: float) -> Path:
    """Write a part model as its zip file unpacks."""
    pytest.importorskip("nnunetv2", reason="needs the extra nnunet")
    place = weights / about["foldername"] / f"{trainer}__nnUNetPlans__3d_fullres"
    place.mkdir(parents=True)
    settings = plans(configuration={**FAST, "spacing": [spacing] * 3, "patch_size": [16, 16, 16]})
    settings["configurations"] = {"3d_fullres": settings["configurations"]["3d"]}
    about_labels = dataset(labels={"background": 0, **labels})
    (place / "plans.json").write_text(json.dumps(settings))
    (place / "dataset.json").write_text(json.dumps(about_labels))
    save_fold(place / "fold_0", settings, about_labels, seed, (0, 1, 2))
    return place


def all_parts(weights: Path, package) -> None:
    configs, maps = package
    about = configs.TASK_CONFIGS["total"]["sub_modes"]["default"]
    for seed, number in enumerate(about["task_id"]):
        names = maps.class_map_5_parts[maps.map_taskid_to_partname_ct[number]]
        labels = {name: value for value, name in names.items()}
        lay_out(weights, configs.TASK_ID_WEIGHTS_CONFIGS[number], about["trainer"], labels, seed, 1.5)


def scan(path: Path) -> Path:
    affine = np.array([[-1.3, 0, 0, 20], [0, 0, 2.5, -10], [0, 1.1, 0, 5], [0, 0, 0, 1.0]])
    data = np.random.default_rng(0).normal(60, 80, size=(20, 24, 13)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def test_every_class_of_every_part_gets_its_number_among_the_117(package, weights):
    all_parts(weights, package)
    bundle = add("totalsegmentator:total")
    wanted = package[1].class_map["total"]
    assert {c.value: c.name for c in bundle.spec.foreground} == wanted
    assert len(bundle.members) == 5
    given = {}
    for member, table in zip(bundle.members, bundle.spec.pipeline.tables, strict=True):
        own = {c.value: c.name for c in member.spec.foreground}
        given |= {becomes: own[value] for value, becomes in table.items()}
    assert given == wanted
    assert bundle.spec.pipeline.spacing == (1.5, 1.5, 1.5)
    assert {m.spec.pipeline.overlap for m in bundle.members} == {0.2}
    assert {tuple(m.spec.options["mirror_axes"]) for m in bundle.members} == {()}
    assert bundle.spec.licence == "Apache-2.0"
    assert "Wasserthal" in bundle.spec.citation


def test_the_labels_are_those_of_the_package_s_own_steps(package, weights, tmp_path, monkeypatch):
    """Turned, resampled, all parts by nnU-Net's predictor, merged and brought back, step by step by hand."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    all_parts(weights, package)
    configs, maps = package
    image = scan(tmp_path / "scan.nii.gz")
    turned = nibabel.as_closest_canonical(nibabel.load(image))
    zooms = np.array(turned.header.get_zooms(), np.float64)
    small = ndimage.zoom(turned.get_fdata(), zooms / 1.5, order=1, mode="nearest").astype(np.int32)
    combined = np.zeros(small.shape, np.uint8)
    values = {name: value for value, name in maps.class_map["total"].items()}
    monkeypatch.setattr(torch, "half", torch.float32)
    for number in (291, 292, 293, 294, 295):
        (place,) = (weights / configs.TASK_ID_WEIGHTS_CONFIGS[number]["foldername"]).iterdir()
        predictor = nnUNetPredictor(
            tile_step_size=0.8, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
        )
        predictor.initialize_from_trained_model_folder(str(place), (0,), "checkpoint_final.pth")
        array = small.transpose(2, 1, 0)[None].astype(np.float32)
        found = predictor.predict_single_npy_array(array, {"spacing": [1.5] * 3}, None, None, False).transpose(2, 1, 0)
        for own, name in maps.class_map_5_parts[maps.map_taskid_to_partname_ct[number]].items():
            combined[found == own] = values[name]
    back = ndimage.zoom(combined, np.array(turned.shape) / small.shape, order=0, mode="nearest")

    bundle = add("totalsegmentator:total")
    *_, finished = predict(read(image)[0], bundle, PredictOptions(device="cpu"))

    ours = nibabel.load(write(finished.result, tmp_path / "labels.nii.gz"))
    np.testing.assert_allclose(ours.affine, nibabel.load(image).affine, atol=1e-5)
    ours_turned = np.asarray(nibabel.as_closest_canonical(ours).dataobj)
    assert len(np.unique(back)) > 10
    assert (ours_turned != back).mean() < 0.001


def test_a_task_of_one_model_and_one_that_has_to_be_fetched(package, weights, tmp_path, monkeypatch, web):
    configs, maps = package
    about = configs.TASK_ID_WEIGHTS_CONFIGS[297]
    trainer = configs.TASK_CONFIGS["total"]["sub_modes"]["fast"]["trainer"]
    labels = {name: value for value, name in maps.class_map["total"].items()}
    lay_out(tmp_path / "made", about, trainer, labels, 0, 3.0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for file in sorted((tmp_path / "made").rglob("*")):
            packed.write(file, file.relative_to(tmp_path / "made"))
    path = f"/{about['version']}/{about['foldername']}.zip"
    web.content[path] = buffer.getvalue()
    monkeypatch.setenv("NAPARI_MEDSEG_TOTALSEGMENTATOR", web.address)

    with pytest.raises(LicenceError, match=r"under Apache-2\.0") as caught:
        add("totalsegmentator:total:fast")
    assert web.asked == []
    assert "publish no checksum" in caught.value.terms
    bundle = add("totalsegmentator:total:fast", AddOptions(agreed=caught.value.token))

    assert [asked for asked, _ in web.asked] == [path]
    assert (weights / about["foldername"]).is_dir()
    assert bundle.spec.pipeline.spacing == (3.0, 3.0, 3.0)
    assert bundle.spec.pipeline.tables == ({value: value for value in range(1, 118)},)
    assert add("totalsegmentator:total:fast").path == bundle.path


def test_tasks_that_do_not_run_here_say_why(package, weights):
    known = {task.name: task for task in tasks()}
    assert known["total"].refusal == ""
    with pytest.raises(BundleError, match="looks only where another task found something"):
        add("totalsegmentator:lung_vessels")
    with pytest.raises(BundleError, match="only for holders of a licence"):
        add("totalsegmentator:tissue_types")
    with pytest.raises(ConfigError, match="no task 'totally'"):
        add("totalsegmentator:totally")


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "totalsegmentator.map_tasks_config", None)
    with pytest.raises(BundleError, match="not installed") as caught:
        add("totalsegmentator:total")
    assert "napari-medseg[totalsegmentator]" in caught.value.remedy


def part(seed: int, values: tuple[int, ...]) -> Bundle:
    torch.manual_seed(seed)
    classes = tuple(LabelClass(value=value, name=f"c{value}") for value in values)
    fields = {"architecture": "unet", "options": {"features": 4, "stages": 2}, "patch_size": (8, 8, 8)}
    spec = ModelSpec(name=f"part {seed}", classes=classes, **fields)
    return Bundle.create(spec, build(spec).state_dict())


def several(tables: tuple[dict[int, int], ...], **changes) -> Bundle:
    members = (part(0, (0, 1, 2)), part(1, (0, 1)))
    classes = tuple(LabelClass(value=value, name=f"whole {value}") for value in (0, 5, 6, 300))
    pipeline = Parts(tables=tables, **changes)
    spec = ModelSpec(name="several", architecture=SEVERAL, classes=classes, axcodes=None, pipeline=pipeline)
    return Bundle(spec, b"", None, members)


def test_parts_are_merged_and_the_last_one_counts(tmp_path):
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    bundle = several(({1: 5, 2: 300}, {1: 6}))
    alone = []
    for member in bundle.members:
        *_, finished = predict(volume, member, PredictOptions(device="cpu"))
        alone.append(finished.result.label_map.labels)
    wanted = np.select([alone[1] == 1, alone[0] == 1, alone[0] == 2], [6, 5, 300], 0)
    loaded = Bundle.load(bundle.save(tmp_path / "several").path)
    *_, finished = predict(volume, loaded, PredictOptions(device="cpu"))
    np.testing.assert_array_equal(finished.result.label_map.labels, wanted)
    assert finished.result.label_map.labels.dtype == np.uint16
    with pytest.raises(ConfigError, match="no common probabilities"):
        list(predict(volume, loaded, PredictOptions(device="cpu", probabilities=True)))


def test_labels_without_a_place_in_the_whole_become_background():
    labels = np.array([7, 7, 7, 7], np.uint8)
    assert merge(labels, np.array([0, 1, 2, 9], np.uint8), {2: 3}).tolist() == [7, 7, 3, 7]


def test_the_image_is_turned_and_shrunk_in_whole_numbers(tmp_path):
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    bundle = several(({1: 5}, {1: 6}))
    place, seen = resampled(volume, bundle, (2.6, 2.5, 2.2))
    assert seen.data.dtype == np.int32
    assert seen.geometry.axcodes == "SAR"
    np.testing.assert_allclose(seen.geometry.spacing, (2.2, 2.5, 2.6))
    assert place.native.shape == (24, 13, 20)
    assert seen.data.shape == (12, 13, 10)
    _, same = resampled(volume, bundle, None)
    np.testing.assert_array_equal(same.data, place.to_grid(volume.data))
    with pytest.raises(BundleError, match="needs a volume with a voxel size"):
        resampled(replace(volume, geometry=None), bundle, None)
