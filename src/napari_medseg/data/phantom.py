"""A generated CT of a trunk, with organs and lesions whose extent is known exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_medseg.volume import Geometry, LabelClass, Volume

AIR_HU, FAT_HU, MUSCLE_HU, CANAL_HU = -1000.0, -100.0, 50.0, 15.0
FAT_MM = 14.0
"""Thickness of the fat under the skin."""

BLUR_MM = 1.2
"""Standard deviation of the scanner's point spread."""

Triple = tuple[float, float, float]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Organ:
    """An ellipsoid; the centre is to the right, front and head of the body's middle."""

    value: int
    """In the label map."""
    hu: float
    center_mm: Triple
    radius_mm: Triple


CLASSES = (
    LabelClass(value=1, name="lung", color="#46f0f0"),
    LabelClass(value=2, name="heart", color="#e6194b"),
    LabelClass(value=3, name="liver", color="#9a6324"),
    LabelClass(value=4, name="spleen", color="#911eb4"),
    LabelClass(value=5, name="kidney", color="#3cb44b"),
    LabelClass(value=6, name="spine", color="#fffac8"),
    LabelClass(value=7, name="vessel", color="#4363d8"),
    LabelClass(value=8, name="lesion", color="#ffe119"),
)
LUNG, HEART, LIVER, SPLEEN, KIDNEY, SPINE, VESSEL, LESION = (c.value for c in CLASSES)

ORGANS = (
    Organ(LUNG, -850, (78, 0, 62), (56, 80, 100)),
    Organ(LUNG, -850, (-78, 0, 62), (54, 78, 98)),
    Organ(HEART, 120, (-18, 25, 38), (50, 45, 46)),
    Organ(LIVER, 105, (72, 8, -42), (72, 76, 62)),
    Organ(LIVER, 105, (8, 42, -30), (62, 40, 36)),
    Organ(SPLEEN, 115, (-102, -32, -42), (30, 42, 48)),
    Organ(KIDNEY, 170, (62, -52, -86), (26, 25, 44)),
    Organ(KIDNEY, 170, (-62, -54, -78), (26, 25, 44)),
)
"""Later ones cover earlier ones."""

LIVER_LESIONS, LUNG_NODULES = 4, 3


def ct_phantom(
    seed: int = 0, shape: tuple[int, int, int] = (64, 160, 160), spacing_mm: Triple = (4.0, 2.4, 2.4)
) -> list[Volume]:
    """Return a CT of a trunk and the label of each of its voxels.

    Parameters
    ----------
    seed : int
        Sizes and places of organs and lesions, and the noise, follow from it.
    shape : tuple of int
        Voxels along (z, y, x).
    spacing_mm : tuple of float
        Voxel size along (z, y, x).

    Returns
    -------
    list of Volume
        The image in HU (int16) and the label map of `CLASSES`: a voxel has the class of the structure that its centre
        lies in.
    """
    random = np.random.default_rng(seed)
    geometry = _centred(shape, spacing_mm)
    points = _points_mm(geometry)
    labels, image = _draw(points, random)
    blurred = gaussian_filter(image, [BLUR_MM / s for s in spacing_mm])
    noisy = blurred + _noise(shape, random)
    return [
        Volume(
            np.clip(np.rint(noisy), -1024, 3071).astype(np.int16),
            geometry,
            name=f"CT phantom {seed}",
            modality="CT",
            units="HU",
            window=(-160.0, 240.0),
        ),
        Volume(labels, geometry, name=f"CT phantom {seed} organs", kind="labels", classes=CLASSES),
    ]


def _centred(shape: tuple[int, int, int], spacing_mm: Triple) -> Geometry:
    """Return a grid whose axes grow to head, back and left, with the body's middle in its own."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape, affine)


def _points_mm(geometry: Geometry) -> list[NDArray[np.float64]]:
    """Return right, front and head coordinates of the voxel centres, broadcastable to (z, y, x)."""
    z, y, x = (np.arange(n, dtype=np.float64) for n in geometry.shape)
    start, step = geometry.affine[:3, 3], geometry.affine[:3, :3]
    return [
        (start[0] + step[0, 2] * x)[None, None, :],
        (start[1] + step[1, 1] * y)[None, :, None],
        (start[2] + step[2, 0] * z)[:, None, None],
    ]


def _draw(
    points: list[NDArray[np.float64]], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    right, front, head = points
    build = random.uniform(0.92, 1.05)
    outside = (right / (172 * build)) ** 2 + (front / (118 * build)) ** 2
    inside = (right / (172 * build - FAT_MM)) ** 2 + (front / (118 * build - FAT_MM)) ** 2
    image = np.where(outside > 1, AIR_HU, np.where(inside > 1, FAT_HU, MUSCLE_HU)) + 0 * head
    labels = np.zeros(image.shape, np.uint8)

    def put(mask: Mask, value: int, hu: float) -> None:
        labels[mask], image[mask] = value, hu

    organs = [_varied(organ, build, random) for organ in ORGANS]
    for organ in organs:
        put(_ellipsoid(points, organ.center_mm, organ.radius_mm), organ.value, organ.hu)
    # One number for all: a spine and the great vessels run through every slice.
    back = -74 * build
    put(_tube(points, (0, back), 21), SPINE, 350)
    put(_tube(points, (0, back - 24), 8), 0, CANAL_HU)
    put(_tube(points, (-14, back + 33), 11), VESSEL, 220)
    put(_tube(points, (20, back + 34), 11), VESSEL, 160)
    livers, lungs = ([organ for organ in organs if organ.value == kind] for kind in (LIVER, LUNG))
    for hosts, count, hu in ((livers[:1], LIVER_LESIONS, 45.0), (lungs, LUNG_NODULES, 30.0)):
        for number in range(count):
            center, radius = _place(hosts[number % len(hosts)], random)
            inner = _ellipsoid(points, center, (radius, radius, radius)) & (labels == hosts[0].value)
            put(inner, LESION, hu)
    return labels, image


def _varied(organ: Organ, build: float, random: np.random.Generator) -> Organ:
    """Return the organ in another person."""
    center = np.array(organ.center_mm) * build + random.uniform(-4, 4, 3)
    radius = np.array(organ.radius_mm) * build * random.uniform(0.94, 1.06, 3)
    return Organ(organ.value, organ.hu, _triple(center), _triple(radius))


def _place(host: Organ, random: np.random.Generator) -> tuple[Triple, float]:
    """Return centre and radius in mm of a lesion well inside its organ."""
    direction = random.normal(size=3)
    direction *= random.uniform(0.2, 0.65) / np.linalg.norm(direction)
    return _triple(np.array(host.center_mm) + direction * host.radius_mm), float(random.uniform(6, 14))


def _ellipsoid(points: list[NDArray[np.float64]], center_mm: Sequence[float], radius_mm: Sequence[float]) -> Mask:
    terms = [((p - c) / r) ** 2 for p, c, r in zip(points, center_mm, radius_mm, strict=True)]
    return np.asarray(terms[0] + terms[1] + terms[2] <= 1)


def _tube(points: list[NDArray[np.float64]], center_mm: tuple[float, float], radius_mm: float) -> Mask:
    """Return a cylinder from feet to head around (right, front) mm."""
    right, front, head = points
    return np.asarray((right - center_mm[0]) ** 2 + (front - center_mm[1]) ** 2 + 0 * head <= radius_mm**2)


def _noise(shape: tuple[int, int, int], random: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of 12 HU, correlated within the slice as a reconstruction leaves it."""
    correlated = gaussian_filter(random.normal(size=shape), (0, 0.7, 0.7))
    return np.asarray(12 * correlated / correlated.std())


def _triple(values: NDArray[np.float64]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])
