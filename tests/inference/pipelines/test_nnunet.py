"""A model of nnU-Net gives the labels that nnU-Net's own predictor gives, on the same file."""

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nnunet_models import dataset, plans

from napari_medseg.errors import BundleError, ConfigError, DataError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.io import read, write
from napari_medseg.models import AddOptions, Bundle, add, import_nnunet
from napari_medseg.prediction import ProbabilityMap, UncertaintyMap

pytest.importorskip("nnunetv2", reason="needs the extra nnunet")

TORCH = {"function": "resample_torch_fornnunet", "arguments": {"mode": "linear", "force_separate_z": None}}
REGIONS = {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
AFFINES = {
    "lps": np.diag([-0.9, -1.1, 1.8, 1]),
    "ras": np.diag([0.9, 1.1, 1.8, 1]),
    "sagittal": np.array([[0, 0, 1.8, -20], [-0.9, 0, 0, 10], [0, 1.1, 0, 5], [0, 0, 0, 1.0]]),
    "thick": np.diag([-0.8, -0.8, 5.0, 1]),
}


def scan(path: Path, affine="lps", shape=(31, 27, 15), channels=1, air=0) -> Path:
    """Save two smooth organs in air, which is zero unless told otherwise, with noise."""
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    body = (grid**2).sum(0) < 0.8
    organ = ((grid - 0.2) ** 2).sum(0) < 0.15
    data = np.where(body, 60 + 90 * organ + generator.normal(0, 8, shape), air)
    data = np.stack([data * (k + 1) for k in range(channels)], -1) if channels > 1 else data
    nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), AFFINES[affine]), path)
    return path


def theirs(folder: Path, image: Path, folds: int, half: bool = False):
    """Return the label map of nnU-Net's own predictor as (k, j, i) of the file, and its probabilities.

    Unless `half`, it sums up in float32 instead of its float16, so that the two can be compared to rounding.
    """
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=True, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), tuple(range(folds)), "checkpoint_final.pth")
    array, properties = predictor.plans_manager.image_reader_writer_class().read_images([str(image)])
    with pytest.MonkeyPatch.context() as patch:
        if not half:
            patch.setattr(torch, "half", torch.float32)
        return predictor.predict_single_npy_array(array, properties, None, None, True)


def ours(folder: Path, image: Path, **options: object):
    bundle = import_nnunet(folder).save(folder.parent / "bundle")
    *_, finished = predict(read(image)[0], Bundle.load(bundle.path), PredictOptions(device="cpu", **options))
    return finished.result


def in_file_order(prediction, array: np.ndarray) -> np.ndarray:
    order = prediction.geometry.file_order[::-1]
    lead = array.ndim - 3
    return array.transpose(*range(lead), *(lead + axis for axis in order))


CASES = {
    "3d": ({}, {}, {}, (0, 1)),
    "3d mirrored along all axes": ({}, {}, {"affine": "ras"}, (0, 1, 2)),
    "3d sagittal": ({}, {}, {"affine": "sagittal"}, None),
    "3d thick slices": ({}, {}, {"affine": "thick", "shape": (40, 36, 9)}, None),
    "3d transposed": ({"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}, {}, {}, (0,)),
    "3d smaller than a tile": ({}, {}, {"shape": (9, 11, 5)}, None),
    "3d turned to RAS": ({"image_reader_writer": "NibabelIOWithReorient"}, {}, {"affine": "sagittal"}, (2,)),
    "3d regions": ({}, REGIONS, {}, None),
    "3d ct": ({"configuration": {"normalization_schemes": ["CTNormalization"]}}, {}, {"air": -1000}, None),
    "3d masked": ({"configuration": {"use_mask_for_norm": [True]}}, {}, {}, None),
    "2d": ({"dims": 2}, {}, {}, (0, 1)),
    "2d rescaled": (
        {"dims": 2, "configuration": {"normalization_schemes": ["RescaleTo01Normalization"]}},
        {},
        {},
        None,
    ),
    "3d torch resampling": (
        {
            "configuration": {
                f"resampling_fn_{what}{kind}": value
                for what in ("data", "probabilities")
                for kind, value in (("", TORCH["function"]), ("_kwargs", {"is_seg": False, **TORCH["arguments"]}))
            }
        },
        {},
        {"affine": "thick", "shape": (30, 28, 9)},
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_labels_are_those_of_nnunet(name, nnunet, tmp_path):
    changes, labels, image, mirror = CASES[name]
    path = scan(tmp_path / "scan.nii.gz", **image)
    folder = nnunet(plans(**changes), dataset(**labels), folds=2, mirror=mirror)
    reference, probabilities = theirs(folder, path, folds=2)

    found = ours(folder, path)

    if "RAS" in name:
        file = nibabel.load(write(found, tmp_path / "labels.nii.gz"))
        labels = np.asarray(nibabel.as_closest_canonical(file).dataobj).transpose(2, 1, 0)
    else:
        labels = in_file_order(found, found.label_map.labels)
    top = np.sort(probabilities, axis=0)
    margin = np.abs(probabilities - 0.5).min(0) if name == "3d regions" else top[-1] - top[-2]
    differ = labels != reference
    assert len(np.unique(reference)) > 1
    assert not differ[margin > 1e-4].any()
    assert differ.sum() <= 2


@pytest.mark.parametrize("name", ["3d", "2d"])
def test_the_16_bit_sums_of_nnunet_change_hardly_a_voxel(name, nnunet, tmp_path):
    changes, labels, image, mirror = CASES[name]
    path = scan(tmp_path / "scan.nii.gz", **image)
    folder = nnunet(plans(**changes), dataset(**labels), folds=2, mirror=mirror)
    reference, _ = theirs(folder, path, folds=2, half=True)
    found = ours(folder, path)
    assert (in_file_order(found, found.label_map.labels) != reference).mean() < 0.002


def test_probabilities_are_those_of_nnunet_and_uncertainty_is_zero_outside_of_the_crop(nnunet, tmp_path):
    path = scan(tmp_path / "scan.nii.gz")
    folder = nnunet(plans(), dataset())
    _, reference = theirs(folder, path, folds=2)
    found = ours(folder, path, probabilities=True, uncertainty=True)
    probabilities = next(o for o in found.outputs if isinstance(o, ProbabilityMap))
    ours_there = in_file_order(found, probabilities.probabilities)
    np.testing.assert_allclose(ours_there, reference, atol=1e-4)
    np.testing.assert_allclose(ours_there.sum(0), 1, atol=1e-5)
    uncertainty = next(o for o in found.outputs if isinstance(o, UncertaintyMap))
    assert uncertainty.uncertainty[:, 0, 0].max() == 0 < uncertainty.uncertainty.max() <= 1


def test_several_channels_have_their_own_rules(nnunet, tmp_path):
    schemes = {"normalization_schemes": ["ZScoreNormalization", "NoNormalization"], "use_mask_for_norm": [True, False]}
    folder = nnunet(plans(configuration=schemes), dataset(channel_names={"0": "T1", "1": "FLAIR"}), folds=1)
    path = scan(tmp_path / "scan.nii.gz", channels=2)
    singles = []
    for channel in range(2):
        both = nibabel.load(path)
        singles.append(tmp_path / f"c_{channel:04}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(both.get_fdata(dtype=np.float32)[..., channel], both.affine), singles[-1])
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,), "checkpoint_final.pth")
    array, properties = predictor.plans_manager.image_reader_writer_class().read_images([str(p) for p in singles])
    reference = predictor.predict_single_npy_array(array, properties, None, None, False)
    found = ours(folder, path)
    assert (in_file_order(found, found.label_map.labels) != reference).mean() < 0.002
    with pytest.raises(DataError, match="takes 2 channels"):
        ours(folder, singles[0])


def test_what_is_imported_survives_the_disk_and_says_what_it_is(nnunet, tmp_path):
    labels = {"licence": "CC-BY-4.0", "reference": "Somebody et al.", "description": "Livers"}
    folder = nnunet(plans(), dataset(**labels), folds=2)
    made = import_nnunet(folder).save(tmp_path / "bundle")
    spec = Bundle.load(tmp_path / "bundle").spec
    assert (spec.name, spec.licence, spec.citation, spec.modality) == (
        "Dataset004_Test 3d",
        "CC-BY-4.0",
        "Somebody et al.",
        "CT",
    )
    assert [c.name for c in spec.classes] == ["background", "liver", "tumour"]
    assert spec.options["folds"] == 2
    assert not (tmp_path / "bundle" / "configs" / "inference.json").exists()
    assert "napari-medseg only" in (tmp_path / "bundle" / "docs" / "README.md").read_text()
    first = torch.load(folder / "fold_1" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    ours_there = made.state_dict()
    assert all(torch.equal(ours_there[f"members.1.{name}"], tensor) for name, tensor in first.items())
    # One tensor under three names is kept once.
    size = (tmp_path / "bundle" / "models" / "model.pt").stat().st_size
    assert size < 1.5 * 2 * sum(t.numel() * 4 for n, t in first.items() if "all_modules" not in n) + 100_000


def test_a_zip_file_is_added_and_options_that_travelled_change_nothing(nnunet, tmp_path):
    folder = nnunet(plans(), dataset(), folds=2)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, Path("Dataset004_Test") / file.relative_to(tmp_path))
    bundle = add(tmp_path / "model.zip", AddOptions(folds=("1",)))
    assert bundle.spec.options["folds"] == 1
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    choice = PredictOptions(device="cpu")
    *_, first = predict(volume, bundle, choice)
    *_, second = predict(volume, bundle, PredictOptions.model_validate(choice.model_dump(mode="json")))
    *_, third = predict(volume, bundle, PredictOptions(device="cpu", overlap=0.1))
    assert [event.result.options["overlap"] for event in (first, second, third)] == [0.5, 0.5, 0.1]
    np.testing.assert_array_equal(first.result.label_map.labels, second.result.label_map.labels)
    assert (first.result.label_map.labels != third.result.label_map.labels).any()


def test_folds_are_chosen_and_missing_ones_are_named(nnunet):
    folder = nnunet(plans(), dataset(), folds=3)
    assert import_nnunet(folder, folds=["2"]).spec.options["folds"] == 1
    with pytest.raises(BundleError, match=r"no checkpoint_final.pth in fold_7"):
        import_nnunet(folder, folds=["7"])
    (folder / "fold_0" / "checkpoint_final.pth").unlink()
    assert import_nnunet(folder).spec.options["folds"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["configurations"]["3d"].update(previous_stage="3d_lowres"), "second stage of a cascade"),
        (lambda p: p["configurations"]["3d"].update(preprocessor_name="Mine"), "preprocessor 'Mine'"),
        (lambda p: p["configurations"]["3d"].update(normalization_schemes=["Mine"]), "normalisation 'Mine'"),
        (lambda p: p["configurations"]["3d"].update(resampling_fn_data="mine"), "resampling 'mine'"),
        (lambda p: p.update(image_reader_writer="Tiff3DIO"), "reader 'Tiff3DIO'"),
        (lambda p: p["configurations"].update({"2d": p["configurations"].pop("3d")}), "no configuration '3d'"),
        (
            lambda p: p["configurations"]["3d"]["architecture"].update(network_class_name="os.Primus"),
            "network Primus, which is not built",
        ),
        (
            lambda p: p["configurations"]["3d"]["architecture"]["arch_kwargs"].update(conv_op="subprocess.Popen"),
            "'subprocess.Popen' as conv_op",
        ),
        (
            lambda p: p["configurations"]["3d"]["architecture"]["arch_kwargs"].update(features_per_stage=[4, 8]),
            "of another shape",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(change, message, nnunet):
    import json

    folder = nnunet(plans(), dataset(), folds=1)
    content = json.loads((folder / "plans.json").read_text())
    change(content)
    (folder / "plans.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        import_nnunet(folder)


def test_a_checkpoint_that_would_execute_code_is_refused(nnunet, tmp_path):
    folder = nnunet(plans(), dataset(), folds=1)
    file = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)

    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    torch.save(content | {"logging": Hostile()}, file)
    with pytest.raises(BundleError, match="without executing code"):
        import_nnunet(folder)
    assert not (tmp_path / "harm").exists()


def test_options_that_do_not_apply_are_refused(nnunet, tmp_path):
    path = scan(tmp_path / "scan.nii.gz")
    with pytest.raises(ConfigError, match="rule of its own for mirrored tiles"):
        ours(nnunet(plans(), dataset(), folds=1), path, flip_axes=(0,))
    with pytest.raises(ConfigError, match=r"classes of .* overlap"):
        ours(nnunet(plans(), dataset(**REGIONS), folds=1, name="regions"), path, probabilities=True)


def test_an_image_without_geometry_is_refused(nnunet, tmp_path):
    volume = read(scan(tmp_path / "scan.nii.gz"))[0]
    from dataclasses import replace

    bundle = import_nnunet(nnunet(plans(), dataset(), folds=1))
    with pytest.raises(BundleError, match="has no geometry"):
        list(predict(replace(volume, geometry=None), bundle, PredictOptions(device="cpu")))


def test_an_image_of_zeros_is_background(nnunet, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((14, 12, 10), np.int16), np.eye(4)), tmp_path / "zeros.nii.gz")
    folder = nnunet(plans(), dataset(), folds=1)
    reference, _ = theirs(folder, tmp_path / "zeros.nii.gz", folds=1)
    found = ours(folder, tmp_path / "zeros.nii.gz")
    np.testing.assert_array_equal(in_file_order(found, found.label_map.labels), reference)
    write(found, tmp_path / "labels.nii.gz")
