"""The same numbers as MONAI's metrics and SimpleITK's filters on the same pairs of label maps."""

import warnings
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from scipy.ndimage import gaussian_filter

from napari_medseg.evaluate import score_case
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = tuple(LabelClass(value=value, name=str(value)) for value in (1, 2, 3))
SPACINGS = [(1.0, 1.0, 1.0), (4.0, 0.7, 0.7), (0.5, 2.0, 1.25)]


def blobs(seed: int, shape: tuple[int, int, int] = (18, 24, 20)) -> np.ndarray:
    """Return a map of three classes with rough borders, pieces and holes."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(4, *shape)), (0, 2, 2, 2))
    return field.argmax(axis=0).astype(np.uint8)


def volume(data: np.ndarray, spacing: tuple[float, ...]) -> Volume:
    """Return a label map whose axes (z, y, x) are (S, P, L)."""
    affine = np.diag([0.0, 0, 0, 1])
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing[0], -spacing[1], -spacing[2]
    return Volume(data, Geometry(data.shape, affine), kind="labels", classes=CLASSES)


def one_hot(data: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([data == value for value in (1, 2, 3)])[None]).float()


def shifted(data: np.ndarray, seed: int) -> np.ndarray:
    """Return a map that is moved by a voxel, and wrong in a tenth of the places."""
    wrong = np.random.default_rng(seed).random(data.shape) < 0.1
    return np.where(wrong, blobs(seed + 100), np.roll(data, 1, axis=seed % 3)).astype(np.uint8)


def image(mask: np.ndarray, spacing: tuple[float, ...]) -> Any:
    found = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    found.SetSpacing(spacing[::-1])
    return found


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_as_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    reference, tolerance = blobs(seed), 1.5
    predicted = shifted(reference, seed)
    scores = score_case(volume(predicted, spacing), volume(reference, spacing), tolerance=tolerance)
    first, second = (
        torch.from_numpy(np.stack([data == value for value in (1, 2, 3)])[None]).float()
        for data in (predicted, reference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dice = compute_dice(first, second)[0]
        hd95 = compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=spacing)[0]
        nsd = compute_surface_dice(first, second, [tolerance] * 3, include_background=True, spacing=spacing)[0]
    for index, name in enumerate("123"):
        assert scores[name].dice == pytest.approx(float(dice[index]), abs=1e-6)
        assert scores[name].hd95 == pytest.approx(float(hd95[index]), abs=1e-4)
        assert scores[name].nsd == pytest.approx(float(nsd[index]), abs=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_as_simpleitk(seed: int, spacing: tuple[float, float, float]) -> None:
    reference = blobs(seed)
    predicted = shifted(reference, seed)
    scores = score_case(volume(predicted, spacing), volume(reference, spacing))
    for value in (1, 2, 3):
        first, second = image(predicted == value, spacing), image(reference == value, spacing)
        overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
        overlap.Execute(second, first)
        assert scores[str(value)].dice == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-9)
        shape = SimpleITK.LabelShapeStatisticsImageFilter()
        shape.Execute(first)
        assert scores[str(value)].predicted_ml == pytest.approx(shape.GetPhysicalSize(1) / 1000, rel=1e-6)
        assert scores[str(value)].hd95 == pytest.approx(hd95_of_simpleitk(first, second), abs=1e-3)


def hd95_of_simpleitk(first: Any, second: Any) -> float:
    """Return HD95 by SimpleITK's contours and its exact distance map in mm; the larger of both directions."""
    found = []
    for one, other in ((first, second), (second, first)):
        # Voxels of a mask that touch what is outside by a face, as at the border of the image.
        padded = [SimpleITK.ConstantPad(mask, (1, 1, 1), (1, 1, 1), 0) for mask in (one, other)]
        edges = [mask - SimpleITK.BinaryErode(mask, (1, 1, 1), SimpleITK.sitkCross) for mask in padded]
        distance = SimpleITK.SignedMaurerDistanceMap(edges[1], squaredDistance=False, useImageSpacing=True)
        on_edge = SimpleITK.GetArrayViewFromImage(edges[0]) > 0
        found.append(np.percentile(np.abs(SimpleITK.GetArrayViewFromImage(distance)[on_edge]), 95))
    return float(max(found))


def test_by_hand_on_an_anisotropic_grid() -> None:
    """Two boxes of 2 x 4 x 4 voxels of 3 x 1 x 0.5 mm, two columns of 0.5 mm apart in x and one plane of 3 mm in z."""
    predicted, reference = np.zeros((8, 10, 12), np.uint8), np.zeros((8, 10, 12), np.uint8)
    reference[2:4, 2:6, 2:6] = 1
    predicted[3:5, 2:6, 4:8] = 1
    scores = score_case(volume(predicted, (3, 1, 0.5)), volume(reference, (3, 1, 0.5)), tolerance=1.0)["1"]
    # 1 plane x 4 rows x 2 columns in common; 32 voxels each of 1.5 mm3.
    assert scores.dice == 2 * 8 / 64
    assert scores.predicted_ml == scores.reference_ml == pytest.approx(0.048)
    assert (scores.volume_error_ml, scores.volume_error_percent) == (0.0, 0.0)
    # The far ends are 1 mm away within a plane, and 3 mm from plane to plane.
    assert scores.hd95 == pytest.approx(np.hypot(3, 1), abs=1e-6)
