"""A new network fits the image it is made for."""

import numpy as np
import pytest

from napari_medseg.models.design import Design, design_spec
from napari_medseg.models.registry import network_def
from napari_medseg.models.spec import BACKGROUND
from napari_medseg.volume import Geometry, LabelClass, Volume

LIVER, TUMOUR = LabelClass(value=2, name="liver"), LabelClass(value=1, name="tumour")


def volume(shape, spacing, axcodes="SPL", **about):
    """Return a volume of zeros whose axes grow in the directions of `axcodes`."""
    unit = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    affine = np.eye(4)
    for axis, code in enumerate(axcodes):
        affine[:3, axis] = np.array(unit[code]) * spacing[axis]
    return Volume(np.broadcast_to(np.int16(0), shape), Geometry(shape, affine), **about)


def test_classes_start_with_background_and_follow_their_values():
    spec = design_spec("organs", volume((40, 64, 64), (1, 1, 1)), [LIVER, TUMOUR])
    assert spec.classes == (BACKGROUND, TUMOUR, LIVER)
    assert (spec.name, spec.dims, spec.axcodes) == ("organs", 3, "SPL")


def test_patch_is_a_cube_in_mm_and_larger_for_a_larger_size():
    image = volume((400, 512, 512), (1, 1, 1))
    sizes = [design_spec("a", image, [LIVER], Design(size=size)).patch_size for size in ("small", "medium", "large")]
    assert sizes == [(32, 32, 32), (64, 64, 64), (96, 96, 96)]


@pytest.mark.parametrize(
    ("axcodes", "spacing", "expected"),
    [
        ("IPR", (5.0, 0.7, 0.7), "SPL"),
        ("RPS", (5.0, 0.7, 0.7), "LSP"),
        ("SPL", (0.7, 5.0, 0.7), "PSL"),
        ("IAR", (1.5, 1.0, 1.0), "SPL"),
    ],
)
def test_thick_slices_come_first(axcodes, spacing, expected):
    spec = design_spec("a", volume((200, 200, 200), spacing, axcodes), [LIVER])
    assert spec.axcodes == expected
    if expected != "SPL" or spacing[0] == 5.0:
        assert spec.options["spacing"] == pytest.approx([5.0, 0.7, 0.7])
        assert spec.patch_size[0] < spec.patch_size[1]


def test_two_dimensions_look_at_whole_slices():
    spec = design_spec("a", volume((32, 200, 256), (5.0, 0.7, 0.7)), [LIVER], Design(dims=2))
    assert (spec.dims, len(spec.patch_size), spec.options["spacing"]) == (2, 2, [0.7, 0.7])


def test_a_plane_or_an_image_without_a_place_is_taken_as_stored():
    plane = design_spec("a", Volume(np.zeros((128, 96)), None), [LIVER], Design(dims=3))
    assert (plane.dims, plane.axcodes) == (2, None)
    block = design_spec("a", Volume(np.zeros((32, 64, 64)), None), [LIVER])
    assert (block.dims, block.axcodes) == (3, None)


def test_hounsfield_units_get_a_fixed_window():
    ct = design_spec("a", volume((32, 64, 64), (1, 1, 1), units="HU", modality="CT"), [LIVER])
    mr = design_spec("a", volume((32, 64, 64), (1, 1, 1), modality="MR"), [LIVER])
    assert (ct.intensity.kind, ct.intensity.low, ct.modality) == ("window", -1000.0, "CT")
    assert mr.intensity.kind == "zscore"


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", ["small", "medium", "large"])
@pytest.mark.parametrize("shape", [(5, 33, 40), (1, 300, 300), (60, 17, 9), (155, 240, 240)])
def test_every_design_can_be_built(dims, size, shape):
    spec = design_spec("a", volume(shape, (3.0, 0.9, 0.9)), [LIVER], Design(dims=dims, size=size))
    definition = network_def(spec)
    assert definition.arguments["out_channels"] == 2
    assert definition.arguments["spatial_dims"] == dims


def test_voxels_are_those_of_a_typical_image():
    grids = [volume((64, 64, 64), (edge, 1.0, 1.0)).geometry for edge in (1.0, 2.0, 1.2)]
    image = volume((64, 64, 64), (2.0, 1.0, 1.0))
    assert design_spec("a", image, [LIVER]).spacing == (2.0, 1.0, 1.0)
    assert design_spec("a", image, [LIVER], others=[*grids, None]).spacing == pytest.approx((1.6, 1.0, 1.0))
    assert design_spec("a", image, [LIVER], Design(dims=2), others=grids).spacing is None
    assert design_spec("a", Volume(np.zeros((32, 64, 64)), None), [LIVER], others=grids).spacing is None


def test_thick_slices_are_made_as_thin_as_some_images_have_them():
    edges = np.linspace(4.0, 8.0, 11)
    first, *others = (volume((30, 256, 256), (edge, 0.7, 0.7)) for edge in edges)
    spec = design_spec("a", first, [LIVER], others=[image.geometry for image in others])
    assert spec.spacing == pytest.approx((4.4, 0.7, 0.7))
    assert spec.options["spacing"] == pytest.approx([4.4, 0.7, 0.7])


def test_a_patch_is_for_the_typical_image_on_the_grid_of_the_network():
    # 20 slices of 4 mm are as high as 80 of 1 mm.
    first, *others = [volume((80, 64, 64), (1, 1, 1)), volume((20, 64, 64), (4, 1, 1)), volume((80, 64, 64), (1, 1, 1))]
    spec = design_spec("a", first, [LIVER], Design(size="medium"), others=[image.geometry for image in others])
    assert spec.patch_size == design_spec("a", first, [LIVER], Design(size="medium")).patch_size == (64, 64, 64)
