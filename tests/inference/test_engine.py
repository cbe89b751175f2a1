"""Prediction of whole images: labels by hand-made networks, events, memory, and images that do not fit."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import BundleError, Cancelled, ConfigError, DataError, DeviceError
from napari_medseg.inference import PredictOptions, predict, volumes_ml
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.postprocess import KeepLargest, Merge, PostProcessing
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.models import Bundle, Intensity, ModelSpec, build
from napari_medseg.prediction import ProbabilityMap
from napari_medseg.progress import Control, Finished, Note, Progress
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (4, "bone"), (9, "metal")))
HU = Intensity(kind="window", low=0.0, high=1000.0)
UNIT = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


class Thresholds(nn.Module):
    """Below 0.3 background, up to 0.6 bone, above metal; leaves space as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, :1]
        return self.scale * torch.cat([0.3 - x, -(x - 0.45).abs() + 0.15, x - 0.6], dim=1)


def spec(**fields) -> ModelSpec:
    values = {"name": "ct", "architecture": "unet", "classes": CLASSES, "intensity": HU, "patch_size": (8, 8, 8)}
    return ModelSpec(**values | fields)


def scan(axcodes: str = "SPL", spacing=(3.0, 1.0, 0.5), shape=(11, 12, 13)) -> Volume:
    affine = np.eye(4)
    for axis, code in enumerate(axcodes):
        affine[:3, axis] = np.multiply(UNIT[code], spacing[axis])
    data = np.zeros(shape, np.int16)
    data[2:5, 3:9, 4:10] = 450
    data[3, 4, 5:7] = 900
    return Volume(data, Geometry(shape, affine), name="CT 3")


def run(volume: Volume, model: ModelSpec, network: nn.Module | None = None, **options):
    """Return the outputs and the events of a prediction."""
    events, work = (
        [],
        predict_grid(
            to_model_grid(volume, model),
            model,
            network or Thresholds(),
            PredictOptions(device="cpu", **options),
            Control(),
        ),
    )
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return stop.value, events


def expected(data: np.ndarray) -> np.ndarray:
    return np.select([data > 600, data > 300], [9, 4], 0)


@pytest.mark.parametrize("axcodes", ["SPL", "ILP", "RAS", "LSP", "AIR"])
@pytest.mark.parametrize("dims", [2, 3])
def test_labels_lie_where_the_image_is_whatever_its_axes(axcodes, dims):
    volume = scan(axcodes)
    (output,), _ = run(volume, spec(dims=dims, patch_size=(8, 8, 8)[:dims]))
    np.testing.assert_array_equal(output.labels, expected(volume.data))
    assert output.labels.dtype == np.uint8
    assert output.labels.flags.c_contiguous


def test_labels_come_back_to_the_image_s_voxels_from_another_spacing():
    volume = scan(spacing=(2.0, 1.0, 1.0), shape=(12, 12, 14))
    blocks = Volume(np.kron(np.eye(12)[:, :, None] > 0, np.ones((2, 2, 28))).astype(np.int16) * 450, None)
    fine = Volume(blocks.data, Geometry((24, 24, 28), np.diag([1.0, 0.5, 0.5, 1.0])))
    (output,), _ = run(fine, spec(axcodes="RAS", spacing=(1.0, 0.5, 0.5)))
    np.testing.assert_array_equal(output.labels, expected(fine.data))
    (output,), _ = run(volume, spec(spacing=(1.0, 0.5, 0.5)))
    assert output.labels.shape == volume.data.shape
    inside = np.zeros(volume.data.shape, bool)
    inside[3:4, 5:8, 7:9] = True
    assert (output.labels[inside] == 4).all()
    assert (output.labels[6:] == 0).all()


def test_probabilities_sum_to_one_and_agree_with_the_labels():
    (labels, found), _ = run(scan("LAI"), spec(), probabilities=True)
    assert isinstance(found, ProbabilityMap)
    assert found.probabilities.shape == (3, 11, 12, 13)
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, atol=1e-5)
    winners = np.array([c.value for c in found.classes])[found.probabilities.argmax(axis=0)]
    np.testing.assert_array_equal(winners, labels.labels)


def test_progress_counts_tiles_and_ends_complete():
    _, events = run(scan(), spec())
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in progress] == list(range(9))
    assert progress[-1].total == 8
    assert progress[-1].seconds_left == 0
    assert progress[0].seconds_left is None


def test_values_that_are_no_numbers_are_told():
    volume = scan()
    data = volume.data.astype(np.float32)
    data[0, 0, :3] = np.nan
    (output,), events = run(Volume(data, volume.geometry, name="CT 3"), spec())
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == ["3 values of CT 3 are not finite numbers and count as zero."]
    np.testing.assert_array_equal(output.labels, expected(volume.data))


class ForgetfulThresholds(Thresholds):
    """Runs out of memory with more than two tiles."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        return super().forward(x)


def test_out_of_memory_takes_smaller_batches_and_says_so():
    volume = scan()
    (output,), events = run(volume, spec(), ForgetfulThresholds(), batch_size=8)
    np.testing.assert_array_equal(output.labels, expected(volume.data))
    assert any(isinstance(event, Note) and "2 tiles at once" in event.text for event in events)


def test_too_little_memory_for_one_tile_is_an_error_with_a_remedy():
    class Starved(Thresholds):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(DeviceError, match="too small for one tile of 8 x 8 x 8 voxels") as caught:
        run(scan(), spec(), Starved())
    assert "cpu" in caught.value.remedy


def test_other_errors_of_the_network_pass_through():
    class Broken(Thresholds):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(scan(), spec(), Broken())


def tiny_bundle(**fields) -> Bundle:
    model = spec(options={"features": 2, "stages": 2}, **fields)
    torch.manual_seed(0)
    return Bundle.create(model, build(model).state_dict())


def test_prediction_says_what_made_it():
    volume, bundle = scan(), tiny_bundle()
    *_, finished = predict(volume, bundle, PredictOptions(device="cpu", overlap=0.5))
    assert isinstance(finished, Finished)
    prediction = finished.result
    assert (prediction.bundle, prediction.bundle_hash) == ("ct", bundle.hash)
    assert prediction.geometry == volume.geometry
    assert prediction.options["device"] == "cpu"
    assert prediction.options["overlap"] == 0.5
    assert prediction.seconds > 0
    voxels = {c.name: int((prediction.label_map.labels == c.value).sum()) for c in CLASSES[1:]}
    assert volumes_ml(prediction) == pytest.approx({name: count * 1.5e-3 for name, count in voxels.items()})


def test_steps_after_the_network_change_the_labels_only():
    volume, bundle = scan(), tiny_bundle()
    plain = PredictOptions(device="cpu", probabilities=True)
    steps = PostProcessing(steps=(Merge(into=LabelClass(value=300, name="all")),))
    *_, before = predict(volume, bundle, plain)
    *events, after = predict(volume, bundle, plain.model_copy(update={"postprocessing": steps}))
    labels, probabilities = after.result.outputs
    np.testing.assert_array_equal(labels.labels, np.where(before.result.label_map.labels, 300, 0))
    np.testing.assert_array_equal(probabilities.probabilities, before.result.outputs[1].probabilities)
    assert after.result.options["postprocessing"]["steps"][0]["kind"] == "merge"
    assert Progress("Post-processing", 0, 1) in events
    wrong = PredictOptions(postprocessing=PostProcessing(steps=(KeepLargest(classes=(5,)),)))
    started = predict(volume, bundle, wrong)
    assert next(started) == Progress("Preparing", 0, 1)
    with pytest.raises(ConfigError, match="names class 5"):
        next(started)


def test_cancel_takes_effect_within_one_batch():
    control = Control()
    events = predict(scan(), tiny_bundle(), PredictOptions(device="cpu"), control)
    for event in events:
        if event == Progress("Predicting", 0, 8):
            break
    control.cancel()
    with pytest.raises(Cancelled):
        next(events)


def test_planes_and_colours():
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[5:9, 6:16, :3] = 115
    picture = Volume(pixels, None, name="photo", rgb=True)
    model = spec(dims=2, axcodes=None, channels=3, patch_size=(16, 16), intensity=HU.model_copy(update={"high": 255.0}))
    (output,), _ = run(picture, model)
    assert output.labels.shape == (20, 30)
    np.testing.assert_array_equal(output.labels, expected(pixels[..., 0] / 255 * 1000))


@pytest.mark.parametrize("channels", [1, 2])
def test_leading_axes_become_channels(channels):
    volume = scan()
    stack = Volume(np.stack([volume.data] * channels), volume.geometry, axes=("channel",))
    (output,), _ = run(stack, spec(channels=channels))
    np.testing.assert_array_equal(output.labels, expected(volume.data))


def test_images_that_do_not_fit_are_refused_with_a_remedy():
    volume = scan()
    film = Volume(np.stack([volume.data] * 5), volume.geometry, name="film", axes=("time",))
    with pytest.raises(DataError, match="ct takes 1 channel, but film has 5 along time") as caught:
        to_model_grid(film, spec())
    assert "one time point" in caught.value.remedy
    with pytest.raises(DataError, match="takes 2 channels, but CT 3 has one channel"):
        to_model_grid(volume, spec(channels=2))
    with pytest.raises(BundleError, match="works on volumes, but photo is a single plane"):
        to_model_grid(Volume(np.zeros((8, 8)), None, name="photo"), spec())
    with pytest.raises(BundleError, match="stack has no geometry"):
        to_model_grid(Volume(np.zeros((8, 8, 8)), None, name="stack"), spec())
    with pytest.raises(DataError, match="complex128, not real numbers"):
        to_model_grid(Volume(np.zeros((8, 8, 8), complex), volume.geometry and None), spec(axcodes=None))


def test_a_single_slice_with_geometry_fits_planes_of_its_direction_only():
    plane = Volume(np.full((16, 16), 450, np.int16), Geometry((16, 16), np.eye(4)[:, [1, 0, 2, 3]]), name="slice")
    (output,), _ = run(plane, spec(dims=2, patch_size=(8, 8)))
    assert output.labels.shape == (16, 16)
    assert (output.labels == 4).all()
    with pytest.raises(BundleError, match="plane of the other direction"):
        to_model_grid(plane, spec(dims=2, patch_size=(8, 8), axcodes="LSP"))


def test_a_lazy_image_is_read_once_and_left_as_it_is():
    import dask.array

    volume = scan()
    before = volume.data.copy()
    lazy = Volume(dask.array.from_array(volume.data, chunks=4), volume.geometry)
    (output,), _ = run(lazy, spec(intensity=Intensity(kind="zscore", nonzero=True), axcodes="SPL"))
    assert output.labels.shape == volume.data.shape
    run(volume, spec(intensity=Intensity(nonzero=True)))
    np.testing.assert_array_equal(volume.data, before)


def test_bfloat16_gives_nearly_the_same_probabilities():
    model = spec(architecture="dynunet", options={"features": 4}, patch_size=(16, 16, 16))
    torch.manual_seed(0)
    network = build(model)
    (_, exact), _ = run(scan(shape=(20, 20, 20)), model, network, probabilities=True)
    (_, rough), _ = run(scan(shape=(20, 20, 20)), model, network, probabilities=True, precision="bfloat16")
    difference = np.abs(exact.probabilities - rough.probabilities)
    assert 0 < difference.max() < 0.1
