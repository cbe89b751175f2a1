from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.pipeline import NnUNet, Normalisation
from napari_medseg.models.retarget import fine_tuned_spec
from napari_medseg.progress import Control, Event, Finished, Note, Preview, Saved
from napari_medseg.training import Case, ShowSlice, TrainConfig, create_run, train
from napari_medseg.training.prepare import load_case
from napari_medseg.volume import Geometry, LabelClass, Volume

SHAPE, BOX = (18, 24, 22), (slice(2, 17), slice(3, 20), slice(4, 21))
CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=3, name="core"))
NETWORK = {
    "n_stages": 2, "features_per_stage": [4, 6], "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3] * 3] * 2,
    "strides": [[1] * 3, [2] * 3], "n_conv_per_stage": [1, 1], "n_conv_per_stage_decoder": [1], "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"affine": True},
    "nonlin": "torch.nn.LeakyReLU",
}  # fmt: skip


def geometry() -> Geometry:
    """Axes (z, y, x) growing to inferior, anterior and left, of 2, 1 and 1.5 mm."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -2.0, 1.0, -1.5, 1.0
    return Geometry(SHAPE, affine)


def spec_of(spacing: tuple[float, ...] = (2.0, 1.0, 1.5), **changes: Any) -> ModelSpec:
    pipeline = NnUNet(configuration="3d_fullres", spacing=spacing, normalisation=(Normalisation(scheme="none"),))
    options = {"network": "PlainConvUNet", "arguments": NETWORK, "folds": 2}
    values = {"name": "n", "architecture": "nnunet", "options": options, "patch_size": (12, 16, 16)}
    return ModelSpec(**(values | {"pipeline": pipeline, "classes": CLASSES} | changes))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A head with air of zero around it; the core, three times as bright, is labelled, and some of the rest."""
    rng = np.random.default_rng(0)
    image = np.zeros(SHAPE, np.float32)
    image[BOX] = 100 + rng.random(image[BOX].shape)
    image[6:12, 8:15, 9:17] += 200
    labels = np.zeros(SHAPE, np.uint8)
    labels[BOX] = 255
    labels[6:12, 8:15, 9:17] = 3
    labels[:, ::2] = 0
    places = tmp_path / "image.medvol", tmp_path / "labels.medvol"
    for place, values, kind in zip(places, (image, labels), ("image", "labels"), strict=True):
        io.write(Volume(values, geometry(), name="v", kind=kind), place)  # type: ignore[arg-type]
    return Case(id="one", image=places[0], labels=places[1])


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_labels_lie_where_the_network_sees_the_image(case: Case, transpose: tuple[int, int, int]) -> None:
    own = (2.0, 1.0, 1.5)
    spec = spec_of(tuple(own[axis] for axis in transpose))
    assert isinstance(spec.pipeline, NnUNet)
    pipeline = spec.pipeline.model_copy(update={"transpose": transpose})
    loaded = load_case(case, spec.model_copy(update={"pipeline": pipeline}))
    assert loaded.part is not None
    assert loaded.part.box == BOX
    image, target = loaded.sample.image[0], loaded.sample.target
    assert image.shape == tuple(BOX[axis].stop - BOX[axis].start for axis in transpose)
    assert (image[target == 1] > 290).all()
    assert (image[target == 0] < 110).all()
    assert (target == 1).sum() > 50


def test_labels_follow_where_voxels_change_their_size(case: Case) -> None:
    loaded = load_case(case, spec_of(spacing=(1.0, 1.0, 1.0)))
    image, target = loaded.sample.image[0], loaded.sample.target
    assert np.median(image[target == 1]) > 290
    assert np.median(image[target == 0]) < 110


def test_a_model_of_nnunet_learns_new_classes(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("dynamic_network_architectures")
    old = spec_of()
    Bundle.create(old, build(old).state_dict()).save(tmp_path / "old")
    spec = fine_tuned_spec(old, "mine", (LabelClass(value=3, name="core"), LabelClass(value=5, name="tumour")))
    config = TrainConfig(minutes=None, steps=12, validate_every=6, device="cpu", precision="float32", batch_size=1)
    run, control = create_run(tmp_path / "run", spec, [case], config, tmp_path / "old"), Control()
    control.send(ShowSlice("one", 1, 9))
    events: list[Event] = list(train(run, control))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("kept for background, core and new for tumour" in note for note in notes)
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews[0].labels.shape == (SHAPE[0], SHAPE[2])
    outside = np.ones(previews[0].labels.shape, bool)
    outside[BOX[0], BOX[2]] = False
    assert not previews[0].labels[outside].any()
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Saved) and event.what == "bundle" for event in events)
    kept = Bundle.load(run.bundle)
    assert kept.spec.pipeline == old.pipeline
    kept.network()
