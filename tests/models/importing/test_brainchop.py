"""Brainchop's networks give their authors' labels on their authors' scan."""

import json

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_medseg.errors import BundleError
from napari_medseg.inference import PredictOptions, predict, volumes_ml
from napari_medseg.io import read, write
from napari_medseg.models import Bundle, build, import_brainchop

HEAD = (slice(43, 215), slice(45, 216), slice(12, 244))
"""The head on the conformed scan; what is around it would only take time."""
NAMES = ("model5_gw_ae", "model11_gw_ae", "model18cls", "model20chan3cls", "model21_104class", "mindgrab")


def layer(inputs: int, outputs: int, dilation: int = 1, kernel: int = 3) -> dict[str, object]:
    padding = dilation if kernel == 3 else 0
    size = {"kernel": kernel, "padding": padding, "dilation": dilation, "bias": True}
    return {"in_channels": inputs, "out_channels": outputs, **size}


DESCRIPTION = {
    "name": "tiny",
    "activation": "ELU",
    "layers": [layer(1, 4), layer(4, 4, 2), layer(4, 3, kernel=1)],
    "labels": ["Unknown", "white", "grey"],
}


def save(folder, **changes):
    path = folder / "tiny.json"
    path.write_text(json.dumps(DESCRIPTION | changes))
    sizes = {0: (4, 1, 3, 3, 3), 2: (4, 4, 3, 3, 3), 4: (3, 4, 1, 1, 1)}
    weights = {f"{n}.weight": torch.full(shape, 0.01 * (n + 1)) for n, shape in sizes.items()}
    save_file(weights | {f"{n}.bias": torch.zeros(shape[0]) for n, shape in sizes.items()}, folder / "tiny.safetensors")
    return path


def test_a_description_and_weights_become_a_bundle_that_survives_the_disk(tmp_path):
    made = import_brainchop(save(tmp_path)).save(tmp_path / "bundle")
    spec = Bundle.load(made.path).spec
    assert spec.options["dilations"] == [1, 2]
    assert [c.name for c in spec.classes] == ["background", "white", "grey"]
    assert (spec.axcodes, spec.spacing, spec.patch_size) == ("LIA", (1.0, 1.0, 1.0), (256, 256, 256))
    assert (spec.intensity.kind, spec.intensity.low, spec.intensity.high) == ("percentile", 2.0, 98.0)
    assert torch.equal(made.network().state_dict()["2.weight"], torch.full((4, 4, 3, 3, 3), 0.03))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["Unknown", "white"]},
        {"activation": "__import__('os')"},
        {"layers": [layer(1, 4), layer(4, 5), layer(5, 3, kernel=1)]},
        {"layers": []},
    ],
)
def test_descriptions_of_something_else_are_refused(changes, tmp_path):
    with pytest.raises(BundleError, match="does not describe a MeshNet"):
        import_brainchop(save(tmp_path, **changes))
    with pytest.raises(BundleError, match="does not describe a MeshNet"):
        import_brainchop(tmp_path / "none.json")


@pytest.mark.parametrize("name", NAMES)
def test_the_published_networks_load(name, shared_data):
    bundle = import_brainchop(shared_data("weights") / "brainchop-meshnet" / f"{name}.json")
    network = bundle.network()
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in build(bundle.spec).parameters())
    assert bundle.spec.licence == "MIT"


@pytest.mark.slow
def test_the_labels_are_the_reference_labels(shared_data, tmp_path):
    folder = shared_data("weights") / "brainchop-meshnet"
    scan = nibabel.load(shared_data("demo-nifti") / "brainchop_t1_256.nii.gz")
    nibabel.save(scan.slicer[HEAD], tmp_path / "head.nii.gz")
    patch = tuple(part.stop - part.start for part in HEAD)
    bundle = import_brainchop(folder / "model5_gw_ae.json", patch).save(tmp_path / "bundle")

    *_, finished = predict(read(tmp_path / "head.nii.gz")[0], Bundle.load(bundle.path), PredictOptions(device="cpu"))

    found = volumes_ml(finished.result)
    assert found == pytest.approx({"White Matter": 520.1, "Grey Matter": 726.6}, abs=0.05)
    ours = nibabel.load(write(finished.result, tmp_path / "labels.nii.gz"))
    reference = nibabel.load(folder / "reference" / "t1_256_model5_gw_ae.nii.gz").slicer[HEAD]
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(reference.dataobj))
    np.testing.assert_array_equal(ours.affine, reference.affine)
