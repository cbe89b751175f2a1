"""Training on a set: it learns, resumes to the same weights, and leaves a model that `predict` takes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.evaluate.images import psnr
from napari_medseg.io import read, write
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Finished, Step
from napari_medseg.training import RunFolder, train
from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig
from napari_medseg.training.restoration.jobs import by_model, checked, enhance
from napari_medseg.training.restoration.request import create_restoration
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.volume import Geometry, Volume
from napari_medseg.volume.sampling import FWHM_PER_SIGMA

TINY = {
    "minutes": None, "steps": 30, "features": 8, "blocks": 1, "patch_size": (8, 12, 12), "precision": "float32",
    "device": "cpu", "checkpoint_seconds": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine")
    z, y, x = np.indices((24, 26, 28))
    for number in range(4):
        values = 100 * (np.sin((z + number) / 2) * np.cos(y / 3) * np.sin(x / 4 + number) > 0).astype(np.float32)
        affine = np.array([[0, 0, -1.0, 5], [0, -1.0, 0, 6], [1.0, 0, 0, 7], [0, 0, 0, 1]])
        write(Volume(values, Geometry(values.shape, affine)), folder / f"case{number}.nii.gz")
    return folder


def result_of(events):
    return next(event.result for event in events if isinstance(event, Finished))


def test_a_set_teaches_and_a_run_resumes(images, tmp_path):
    config = SuperResolutionConfig(factor=(2, 1, 1), **TINY)
    run = result_of(create_restoration(tmp_path / "run", [images], config))
    assert len(run.read(RestorationRun).held_out) == 1
    result = result_of(train(run))
    assert result.steps == 30
    assert result.scores["gain_db"] > 0.5
    bundle = Bundle.load(result.bundle)
    assert len(bundle.spec.training_data) == 3
    assert bundle.spec.axcodes == "SPL"

    broken = result_of(create_restoration(tmp_path / "broken", [images], config))
    control = Control()

    def until(step):
        for event in train(broken, control):
            if isinstance(event, Step) and event.step == step:
                control.cancel()

    with pytest.raises(Cancelled):
        until(17)
    assert result_of(train(broken, resume=True)).step == result.step
    one, other = (Bundle.load(folder.bundle).state_dict() for folder in (run, broken))
    assert all((one[name] == other[name]).all() for name in one)

    (volume,) = read(images / "case0.nii.gz")
    restored, _ = result_of(by_model(volume, bundle, {"views": 1}, Control()))
    assert restored.image.data.shape == (48, 26, 28)
    with pytest.raises(ConfigError, match="another factor"):
        list(
            create_restoration(
                tmp_path / "third", [images], SuperResolutionConfig(factor=(3, 1, 1), **TINY), result.bundle
            )
        )
    assert result_of(create_restoration(tmp_path / "on", [images], config, result.bundle))


def test_noisy_images_teach_to_clean(images, tmp_path):
    config = EnhancementConfig(**{**TINY, "patch_size": (16, 16)}, method="noise2void")
    run = result_of(create_restoration(tmp_path / "run", [images], config))
    result = result_of(train(run))
    assert result.scores == {}
    (volume,) = read(images / "case0.nii.gz")
    restored, _ = result_of(by_model(volume, Bundle.load(result.bundle), {"views": 2}, Control()))
    assert restored.image.data.shape == volume.data.shape
    assert restored.image.geometry == volume.geometry


def test_a_set_teaches_to_undo_a_blur(images, tmp_path):
    config = EnhancementConfig(
        **TINY | {"steps": 60, "blocks": 4, "patch_size": (8, 8, 8)}, method="deblur", blur_mm=2.5, level=2.0
    )
    run = result_of(create_restoration(tmp_path / "run", [images], config))
    result = result_of(train(run))
    assert result.scores["gain_db"] > 2, "over the blurred image"
    bundle = Bundle.load(result.bundle)
    assert bundle.spec.options["width"] == [2.5, 2.5, 2.5]
    (volume,) = read(images / "case0.nii.gz")
    truth = np.asarray(volume.data)
    seen = gaussian_filter(truth, 2.5 / FWHM_PER_SIGMA, mode="nearest")
    seen += np.random.default_rng(0).normal(0, 2, seen.shape).astype(np.float32)
    restored, _ = result_of(by_model(replace(volume, data=seen), bundle, {"views": 2}, Control()))
    found = np.asarray(restored.image.data)
    classical, _ = result_of(enhance(replace(volume, data=seen), "deblur", {"blur_mm": 2.5, "rounds": 15}, Control()))
    assert psnr(found, truth) > psnr(np.asarray(classical.image.data), truth) + 0.5
    assert "2.5 mm (FWHM) was undone by the model run" in restored.image.derivation
    assert "synthesised" in restored.image.name
    assert restored.spread is not None
    with pytest.raises(ConfigError, match="width of the blur"):
        list(create_restoration(tmp_path / "a", [images], EnhancementConfig(method="deblur")))


def test_what_cannot_be(images, tmp_path):
    with pytest.raises(ConfigError, match="do not make volumes finer"):
        list(create_restoration(tmp_path / "a", [images], SuperResolutionConfig(factor=(1, 1, 1))))
    result_of(create_restoration(tmp_path / "b", [images], SuperResolutionConfig(**TINY)))
    with pytest.raises(ConfigError, match="already holds"):
        list(create_restoration(tmp_path / "b", [images], SuperResolutionConfig(**TINY)))
    assert RunFolder(tmp_path / "b").task == "superresolution"
    with pytest.raises(ConfigError, match="no setting 'sharpness'"):
        checked(EnhancementConfig, {"sharpness": 1})


@pytest.mark.parametrize(
    ("method", "settings"),
    [("nlm", {}), ("tv", {}), ("median", {}), ("clahe", {})],
)
def test_classical_methods_do_what_they_say(images, method, settings):
    (volume,) = read(images / "case1.nii.gz")
    truth = np.asarray(volume.data)
    noisy = replace(volume, data=truth + np.random.default_rng(0).normal(0, 8, truth.shape).astype(np.float32))
    restored, network = result_of(enhance(noisy, method, settings, Control()))
    assert network is None
    found = np.asarray(restored.image.data)
    assert found.shape == truth.shape
    assert "SYNTHESISED" in restored.image.derivation
    assert "synthesised" in restored.image.name
    if method in ("nlm", "tv", "median"):
        assert np.abs(found - truth).mean() < 0.7 * np.abs(np.asarray(noisy.data) - truth).mean()


def test_a_known_blur_is_undone(images):
    (volume,) = read(images / "case1.nii.gz")
    truth = np.asarray(volume.data)
    blurred = gaussian_filter(truth, 2 / FWHM_PER_SIGMA, mode="nearest")
    settings = {"blur_mm": 2.0, "rounds": 15}
    restored, _ = result_of(enhance(replace(volume, data=blurred), "deblur", settings, Control()))
    assert np.abs(np.asarray(restored.image.data) - truth).mean() < 0.75 * np.abs(blurred - truth).mean()
    with pytest.raises(ConfigError, match="width of the blur"):
        list(enhance(volume, "deblur", {}, Control()))


def test_bias_is_taken_out():
    pytest.importorskip("SimpleITK")
    z, y, x = np.indices((24, 40, 44))
    ball = np.hypot(np.hypot(z - 12, y - 20) / 1.2, x - 22) < 14
    biased = (100 * ball * np.exp((x - 22) / 30)).astype(np.float32)
    volume = Volume(biased, Geometry(biased.shape, np.eye(4)), modality="MR")
    restored, _ = result_of(enhance(volume, "n4", {}, Control()))
    found = np.asarray(restored.image.data)
    assert found[ball].std() / found[ball].mean() < 0.4 * biased[ball].std() / biased[ball].mean()
