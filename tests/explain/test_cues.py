"""A planted cue that alone decides the class carries the mass of every map, on the image's own grid."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import Cancelled, ConfigError, DataError
from napari_medseg.explain import ExplainOptions, Explanation, explain, methods
from napari_medseg.progress import Control, Finished, Note, Progress
from napari_medseg.volume import Volume

sys.path.append(str(Path(__file__).parent))
from cue_models import cue_classifier, cue_segmenter, oblique, plane, share_inside

QUICK = ExplainOptions(device="cpu", curve_steps=4, randomisations=1, samples=None)
BARE = QUICK.model_copy(update={"sanity": "none", "curve_steps": 0})
CUE = (slice(6, 14), slice(18, 26))
REACH = {"grad-cam": 12, "grad-cam++": 12, "feature-maps": 12, "occlusion": 4, "lime": 2, "smoothgrad": 1}
"""Voxels: a feature of the last layer stands for 8 voxels and is laid out smoothly; a window has 4."""
NAMES = [method.name for method in methods()]


def explained(volume: Volume, bundle, method: str, target: str | None = None, options=QUICK) -> Explanation:
    *others, last = explain(volume, bundle, method, target, options)
    assert isinstance(last, Finished)
    assert any(isinstance(event, Progress) and event.seconds_left is None for event in others)
    assert isinstance(last.result, Explanation)
    return last.result


def one_map(found: Explanation) -> np.ndarray:
    values = np.asarray(found.map.data)
    return values[0] if found.map.axes else values


@pytest.mark.parametrize("method", NAMES)
def test_the_cue_carries_the_mass_in_a_plane(method):
    found = explained(plane(), cue_classifier(), method)
    values = one_map(found)
    assert share_inside(values, CUE, REACH.get(method, 0)) > 0.8
    assert values[CUE].mean() > 3 * np.abs(values).mean()
    # By default the likeliest class.
    assert found.scores.target == "cue"
    assert found.map.name == f"{found.scores.method} of cue by cues"
    low, high = found.map.window
    assert low == (-high if found.scores.signed else 0)


@pytest.mark.parametrize("method", NAMES)
def test_the_map_explains_and_depends_on_the_weights(method):
    scores = explained(plane(), cue_classifier(), method, "cue").scores
    assert scores.sanity.verdict != "failed"
    assert scores.probability > 0.99
    assert scores.curves.deletion.area < scores.curves.deletion.by_chance
    assert scores.curves.insertion.area > scores.curves.insertion.by_chance
    assert scores.curves.deletion.probabilities[0] == pytest.approx(scores.probability, abs=1e-6)


@pytest.mark.parametrize("method", NAMES)
def test_the_cue_is_found_in_an_oblique_anisotropic_volume(method):
    # Axes grow to inferior, anterior and left: what the network sees is turned, and of another size.
    shape, cue = (20, 44, 36), (slice(12, 17), slice(6, 16), slice(20, 30))
    values = np.full(shape, 0.2, np.float32)
    values[cue] = 1.0
    image = Volume(values, oblique(shape, (3.0, 0.8, 0.9)), name="oblique")
    options = BARE.model_copy(update={"samples": 250 if method == "lime" else 6, "superpixels": 40, "window": 4})
    found = explained(image, cue_classifier(dims=3, edge=24), method, "cue", options)
    assert found.map.geometry is image.geometry
    reach = {"integrated-gradients": 2, "shap": 2, "smoothgrad": 2, "lime": 4, "occlusion": 4}.get(method, 14)
    assert share_inside(one_map(found), cue, reach) > 0.8


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)])
def test_a_segmentation_is_explained_by_where_it_finds_the_class(method, spacing):
    shape, cue = (12, 26, 30), (slice(4, 8), slice(15, 20), slice(3, 9))
    values = np.full(shape, 0.1, np.float32)
    values[cue] = 1.0
    image = Volume(values, oblique(shape, (2.0, 1.5, 1.2)), name="oblique")
    options = BARE.model_copy(
        update={"samples": 200 if method == "lime" else 6, "superpixels": 40, "window": 3, "layer": layer_of(method)}
    )
    found = explained(image, cue_segmenter(spacing=spacing), method, "cue", options)
    assert found.map.geometry is image.geometry
    assert found.scores.probability > 0.7
    assert share_inside(one_map(found), cue, 4 if method == "lime" else 2) > 0.8


def layer_of(method: str) -> str | None:
    return "1" if method.startswith(("grad-cam", "feature")) else None


def test_a_plane_of_a_segmentation_and_a_chosen_region():
    image = plane()
    image.data[20:26, 4:10] = 1.0
    second = (slice(20, 26), slice(4, 10))
    bundle = cue_segmenter(dims=2, axcodes=None)
    region = BARE.model_copy(update={"region": ((20, 26), (4, 10))})
    values = one_map(explained(image, bundle, "integrated-gradients", "cue", region))
    assert share_inside(values, second, 1) > 0.99
    both = one_map(explained(image, bundle, "integrated-gradients", "cue", BARE))
    assert both[CUE].sum() > 0
    assert share_inside(both, second, 1) < 0.6


def test_a_large_region_is_explained_tile_by_tile():
    # A bar through three tiles: every part of it counts once, and the sum is that of the whole.
    values = np.full((4, 60, 20), 0.1, np.float32)
    bar = (slice(1, 3), slice(5, 55), slice(8, 12))
    values[bar] = 1.0
    image = Volume(values, oblique(values.shape, (1.0, 1.0, 1.0)), name="bar")
    found = explained(image, cue_segmenter(), "integrated-gradients", "cue", BARE)
    scores = found.scores
    assert scores.total == pytest.approx(scores.score - scores.baseline_score, rel=0.02)
    assert share_inside(one_map(found), bar, 1) > 0.99
    assert (np.asarray(found.map.data)[1:3, 6:54, 9:11] > 0).all()


def test_channels_each_have_their_map():
    image = plane()
    grey = np.random.default_rng(0).random(image.data.shape, np.float32)
    both = Volume(np.stack([grey, image.data]), None, name="two", axes=("channel",))
    options = BARE.model_copy(update={"per_channel": True})
    for method in ("integrated-gradients", "occlusion", "smoothgrad", "shap"):
        found = explained(both, cue_classifier(channels=2), method, "cue", options)
        assert found.map.axes == ("channel",)
        assert not np.asarray(found.map.data)[0].any(), "the first channel decides nothing"
        assert np.asarray(found.map.data)[1][CUE].sum() > 0


def test_a_model_of_planes_explains_each_slice_of_a_volume():
    shape = (3, 32, 32)
    values = np.full(shape, 0.2, np.float32)
    values[1][CUE] = 1.0
    image = Volume(values, oblique(shape, (5.0, 1.0, 1.0)), name="slices")
    found = one_map(explained(image, cue_classifier(), "integrated-gradients", "cue", QUICK))
    assert share_inside(found, (slice(1, 2), *CUE), 0) > 0.99
    assert not found[0].any()
    assert not found[2].any()


def test_only_the_region_is_seen_by_a_classification():
    image = plane(edge=48)
    options = BARE.model_copy(update={"region": ((2, 22), (10, 40))})
    found = one_map(explained(image, cue_classifier(), "integrated-gradients", "cue", options))
    outside = np.ones(found.shape, bool)
    outside[2:22, 10:40] = False
    assert not found[outside].any()
    assert share_inside(found, CUE, 1) > 0.9


def test_the_map_is_saved_on_the_grid_of_its_image(tmp_path):
    shape = (6, 32, 32)
    image = Volume(np.full(shape, 0.9, np.float32), oblique(shape, (2.0, 1.0, 1.0)), name="bright")
    found = explained(image, cue_classifier(), "grad-cam", "cue", BARE).map
    (read,) = io.read(io.write(found, tmp_path / "map.nii.gz"))
    np.testing.assert_allclose(np.asarray(read.data), np.asarray(found.data), rtol=1e-6)
    assert read.geometry.matches(image.geometry)
    assert found.derivation == "Grad-CAM of the class cue by the model cues"


def test_the_same_seed_gives_the_same_map():
    first, again, other = (
        one_map(explained(plane(), cue_classifier(), "shap", "cue", BARE.model_copy(update={"seed": seed})))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_cancelling_stops_within_a_batch():
    control = Control()
    events = explain(plane(), cue_classifier(), "lime", "cue", ExplainOptions(device="cpu", batch_size=1), control)
    while next(events).stage != "Explaining":
        pass
    control.cancel()
    with pytest.raises(Cancelled):
        list(events)


def test_leaving_early_ends_the_work():
    events = explain(plane(), cue_classifier(), "lime", "cue", ExplainOptions(device="cpu", batch_size=1))
    while next(events).stage != "Explaining":
        pass
    events.close()


@pytest.mark.parametrize(
    ("bundle", "method", "target", "options", "error", "message"),
    [
        (cue_classifier, "gradcam", None, {}, ConfigError, "Known are feature-maps, grad-cam"),
        (cue_classifier, "grad-cam", "bone", {}, ConfigError, "It knows plain, cue"),
        (cue_classifier, "grad-cam", "cue", {"layer": "x"}, ConfigError, "Layers with a grid: 0, 1"),
        (cue_classifier, "grad-cam", "cue", {"layer": "14"}, ConfigError, "layer '14' has no grid"),
        (cue_classifier, "grad-cam", "cue", {"region": ((90, 99), (0, 9))}, ConfigError, "holds no voxel"),
        (lambda: cue_segmenter(dims=2, axcodes=None), "grad-cam", "cue", {"layer": "2"}, None, ""),
    ],
)
def test_what_cannot_be_explained_is_said(bundle, method, target, options, error, message):
    chosen = BARE.model_copy(update=options)
    if error is None:
        explained(plane(), bundle(), method, target, chosen)
        return
    with pytest.raises(error, match=message):
        list(explain(plane(), bundle(), method, target, chosen))


def test_a_class_that_is_not_found_is_said():
    dark = replace(plane(), data=np.zeros((32, 32), np.float32))
    with pytest.raises(DataError, match="finds no cue"):
        list(explain(dark, cue_segmenter(dims=2, axcodes=None), "smoothgrad", "cue", BARE))


def test_an_ensemble_is_explained_by_the_mean_of_its_members():
    from napari_medseg.models.ensemble import ensemble

    wanted = BARE.model_copy(update={"sanity": "full", "curve_steps": 4, "randomisations": 1})
    one = explained(plane(), cue_segmenter(dims=2, axcodes=None), "smoothgrad", "cue", wanted)
    both = ensemble("both", [cue_segmenter(dims=2, axcodes=None) for _ in range(2)])
    found = explained(plane(), both, "smoothgrad", "cue", wanted)
    np.testing.assert_allclose(found.map.data, one.map.data, rtol=1e-6)
    assert found.map.window == pytest.approx(one.map.window)
    assert (found.scores.model, found.scores.model_hash) == ("both", both.hash)
    assert found.scores.curves.deletion.area == pytest.approx(one.scores.curves.deletion.area)
    assert found.scores.sanity.verdict == one.scores.sanity.verdict
    with pytest.raises(ConfigError, match="features of their own"):
        list(explain(plane(), both, "feature-maps", "cue", BARE))


def test_less_at_once_where_memory_runs_out():
    from torch import nn

    from napari_medseg.models import Bundle

    made = cue_classifier()

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = made.network()

        def forward(self, images):
            if len(images) > 2:
                raise MemoryError
            return self.inside(images)

    class Small(Bundle):
        def network(self):
            return Narrow()

    events = list(explain(plane(), Small(made.spec, made.weights), "occlusion", "cue", QUICK))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[-1].endswith("going on with 2 images at once.")
    assert len(notes) == len(set(notes)), "the checks begin with what fits"
    expected = one_map(explained(plane(), made, "occlusion", "cue", BARE))
    np.testing.assert_allclose(one_map(events[-1].result), expected, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("method", NAMES)
def test_a_gpu_gives_the_same_map(method):
    options = QUICK.model_copy(update={"noise": 0.0})
    here = explained(plane(), cue_classifier(), method, "cue", options)
    there = explained(plane(), cue_classifier(), method, "cue", options.model_copy(update={"device": "cuda"}))
    if method in ("lime", "shap"):
        # Other parts are hidden, other points are drawn.
        assert share_inside(one_map(there), CUE, REACH.get(method, 0)) > 0.8
        return
    scale = np.abs(one_map(here)).max()
    np.testing.assert_allclose(one_map(there) / scale, one_map(here) / scale, atol=1e-3)


@pytest.mark.parametrize("kind", ["torchscript", "exported"])
def test_programs_are_explained_by_what_needs_no_look_inside(kind, tmp_path, monkeypatch):
    import torch

    from napari_medseg.models import Bundle

    bundle = cue_segmenter(dims=2, axcodes=None)
    network = bundle.network()
    path = tmp_path / "program"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if kind == "torchscript":
            torch.jit.script(network).save(path)
        else:
            tile = torch.zeros(2, 1, 16, 16)
            torch.export.save(torch.export.export(network, (tile,), dynamic_shapes=({0: torch.export.Dim.AUTO},)), path)
    monkeypatch.setattr("napari_medseg.models.bundle.require", lambda *_words: None)
    program = Bundle(bundle.spec.model_copy(update={"architecture": kind}), path.read_bytes())
    for method in ("occlusion", "integrated-gradients"):
        found = explained(plane(), program, method, "cue", QUICK)
        assert share_inside(one_map(found), CUE, 4) > 0.8
        assert found.scores.sanity is not None
    with pytest.raises(ConfigError, match="occlusion"):
        list(explain(plane(), program, "grad-cam", "cue", BARE))
