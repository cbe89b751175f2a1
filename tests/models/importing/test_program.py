"""TorchScript and exported programs run as models once they are trusted, and give what the network gives."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import BundleError, ConfigError, TrustError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.models import AddOptions, Bundle, ModelSpec, add, import_program, library
from napari_medseg.models.program import program_kind
from napari_medseg.models.trust import digest_of, distrust, trust, trusted
from napari_medseg.prediction import LabelClass
from napari_medseg.volume import Geometry, Volume

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=3, name="a"), LabelClass(value=5, name="b"))


def network(dims: int = 3) -> nn.Module:
    torch.manual_seed(1)
    convolution = nn.Conv3d if dims == 3 else nn.Conv2d
    return nn.Sequential(convolution(1, 4, 3, padding=1), nn.ReLU(), convolution(4, 3, 1)).eval()


def save(kind: str, path, dims: int = 3, batch: int | None = None):
    net = network(dims)
    example = torch.zeros(batch or 2, 1, *(8,) * dims)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "torchscript":
            torch.jit.save(torch.jit.script(net), str(path))
        else:
            dynamic = None if batch else ({0: torch.export.Dim("batch", min=1, max=64)},)
            torch.export.save(torch.export.export(net, (example,), dynamic_shapes=dynamic), str(path))
    return path


def spec(dims: int = 3, **changes) -> ModelSpec:
    values = {"dims": dims, "patch_size": (8,) * dims, "classes": CLASSES}
    return ModelSpec(**{"name": "net", "architecture": "torchscript", **values, **changes})


def scan() -> Volume:
    data = np.random.default_rng(0).normal(size=(10, 11, 13)).astype(np.float32)
    return Volume(data, Geometry(data.shape, np.diag([2.0, 1, 1, 1])), name="scan")


def labels(bundle: Bundle, **options) -> np.ndarray:
    *_, finished = predict(scan(), bundle, PredictOptions(device="cpu", **options))
    return finished.result.label_map.labels


def reference(dims: int) -> np.ndarray:
    """Return the labels of the plain network, as one of our models of the same steps."""
    from napari_medseg.inference.engine import predict_grid
    from napari_medseg.inference.preprocess import to_model_grid
    from napari_medseg.progress import Control

    steps = predict_grid(
        to_model_grid(scan(), spec(dims)), spec(dims), network(dims), PredictOptions(device="cpu"), Control()
    )
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value[0].labels


@pytest.mark.parametrize(
    ("kind", "dims", "batch"),
    [("torchscript", 3, None), ("torchscript", 2, None), ("exported", 3, None), ("exported", 2, 3), ("exported", 3, 1)],
)
def test_the_labels_are_those_of_the_network(kind, dims, batch, tmp_path):
    path = save(kind, tmp_path / ("net.ts" if kind == "torchscript" else "net.pt2"), dims, batch)
    assert program_kind(path) == kind
    trust(digest_of(path), "net")
    bundle = import_program(path, spec(dims)).save(tmp_path / "bundle")
    assert bundle.spec.architecture == kind
    found = labels(Bundle.load(bundle.path))
    np.testing.assert_array_equal(found, reference(dims))
    assert len(np.unique(found)) > 1


def test_a_program_runs_only_while_it_is_trusted(tmp_path):
    path = save("torchscript", tmp_path / "net.ts")
    with pytest.raises(TrustError, match="TorchScript program: it can read and write files") as caught:
        import_program(path, spec())
    trust(caught.value.digest, "net")
    bundle = import_program(path, spec()).save(tmp_path / "bundle")
    distrust(caught.value.digest)
    loaded = Bundle.load(bundle.path)
    assert loaded.spec.name == "net"
    with pytest.raises(TrustError):
        labels(loaded)


def test_a_program_is_added_with_a_sidecar_or_settings(tmp_path):
    path = save("exported", tmp_path / "net.pt2")
    fields = {"classes": ["background", "left", "right"], "patch_size": [8, 8, 8]}
    with pytest.raises(TrustError):
        add(path, AddOptions(spec=fields))
    assert library() == []
    bundle = add(path, AddOptions(spec=fields, trust=True, name="Sides"))
    assert (bundle.spec.name, [c.name for c in bundle.spec.classes]) == ("Sides", ["background", "left", "right"])
    assert [entry.name for entry in trusted()] == ["Sides"]
    (tmp_path / "net.json").write_text('{"patch_size": [8, 8, 8], "spacing": [2, 2, 2], "classes": ["0", "1", "2"]}')
    assert add(path).spec.spacing == (2.0, 2.0, 2.0)
    assert add(path, AddOptions(spec={"spacing": [1, 1, 1]})).spec.spacing == (1.0, 1.0, 1.0)
    (tmp_path / "net.json").write_text('["spacing"]')
    with pytest.raises(ConfigError, match=r"net\.json cannot be read"):
        add(path)


def test_a_program_that_does_not_fit_its_specification_is_refused(tmp_path):
    path = save("torchscript", tmp_path / "net.ts")
    trust(digest_of(path), "net")
    with pytest.raises(BundleError, match=r"gives \(1, 3, 8, 8, 8\) for a tile, not \(1, 2, 8, 8, 8\)") as caught:
        import_program(path, spec(classes=CLASSES[:2]))
    assert "as it has outputs (3)" in caught.value.remedy
    with pytest.raises(BundleError, match=r"does not take a tile of \(1, 2, 8, 8, 8\)"):
        import_program(path, spec(channels=2))
    with pytest.raises(ConfigError, match="patch_size"):
        add(path, AddOptions(spec={"patch_size": [0, 8, 8]}))


def test_other_files_are_no_programs(tmp_path):
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "text.ts").write_text("no")
    assert program_kind(tmp_path / "weights.pt") is None
    with pytest.raises(BundleError, match="no TorchScript or exported program"):
        import_program(tmp_path / "text.ts", spec())


def test_a_damaged_program_is_refused(tmp_path):
    path = save("torchscript", tmp_path / "net.ts")
    content = bytearray(path.read_bytes())
    content[100:900] = b"?" * 800
    path.write_bytes(content)
    trust(digest_of(path), "net")
    with pytest.raises(BundleError, match="cannot be read"):
        import_program(path, spec())
