"""What the information panel says of a volume, against numbers worked out by hand."""

import numpy as np

from napari_medseg.volume import Geometry, LabelClass, Volume
from napari_medseg.volume.facts import as_text, facts_of
from napari_medseg.volume.windows import CT_WINDOWS

AXIAL = np.array([[0, 0, -0.7, 100.5], [0, -0.7, 0, 90.25], [2.5, 0, 0, -300], [0, 0, 0, 1.0]])


def test_a_ct_is_described_in_the_order_of_its_axes() -> None:
    volume = Volume(
        np.zeros((4, 5, 6), np.int16), Geometry((4, 5, 6), AXIAL), "CT 3", modality="CT", units="HU", window=(-160, 240)
    )
    facts = dict(facts_of(volume))
    assert facts["Modality"] == "CT"
    assert facts["Size"] == "4 × 5 × 6 voxels"
    assert facts["Spacing"] == "2.5 × 0.7 × 0.7 mm"
    assert facts["Extent"] == "10 × 3.5 × 4.2 mm"
    assert facts["Axes grow to"] == "head, back, left (SPL)"
    assert facts["First voxel (RAS mm)"] == "100.5, 90.25, -300"
    assert facts["Affine (RAS mm)"] == "0  0  -0.7  100.5\n0  -0.7  0  90.25\n2.5  0  0  -300"
    assert facts["Values"] == "int16, HU"
    assert facts["Window in the file"] == "-160 to 240"


def test_time_and_activity_of_a_dynamic_pet() -> None:
    volume = Volume(
        np.zeros((3, 4, 5, 6), np.float32),
        Geometry((4, 5, 6), AXIAL),
        modality="PT",
        units="Bq/ml",
        axes=("time",),
        axis_values={"time": np.array([0.0, 2.5, 5.0])},
        suv_factor=0.000123456789,
    )
    facts = dict(facts_of(volume))
    assert (facts["Time points"], facts["Time between"]) == ("3", "2.5 s")
    assert facts["SUVbw factor"] == "0.000123456789"


def test_diffusion_weightings_are_listed_once_each() -> None:
    volume = Volume(
        np.zeros((4, 2, 2, 2), np.int16),
        None,
        axes=("b_value",),
        axis_values={"b_value": np.array([0, 1000.0, 1000, 3000])},
    )
    facts = dict(facts_of(volume))
    assert facts["B value"] == "4"
    assert facts["b-values"] == "0, 1000, 3000 s/mm²"


def test_an_image_without_geometry_is_not_given_one() -> None:
    facts = dict(facts_of(Volume(np.zeros((7, 8, 3), np.uint8), None, rgb=True)))
    assert facts["Size"] == "7 × 8 pixels"
    assert facts["Spacing"].startswith("unknown")
    assert facts["Values"] == "uint8, colour"
    assert "Affine (RAS mm)" not in facts


def test_oblique_axes_are_called_so() -> None:
    angle = np.radians(12.0)
    turned = np.eye(4)
    turned[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    facts = dict(facts_of(Volume(np.zeros((4, 5, 6)), Geometry((4, 5, 6), turned @ AXIAL))))
    assert facts["Axes grow to"] == "head, back, left (SPL), up to 12° oblique"


def test_the_copied_text_is_a_table_and_names_nobody() -> None:
    labels = Volume(
        np.zeros((2, 3, 4), np.uint8),
        None,
        name="Doe Jane",
        kind="labels",
        classes=(LabelClass(value=1, name="liver"),),
    )
    text = as_text(facts_of(labels))
    assert "Kind\tlabel map, classes named: 1" in text
    assert "Doe" not in text


def test_windows_are_ranges_of_hounsfield_units() -> None:
    limits = {window.name: window.limits for window in CT_WINDOWS}
    assert limits["Lung"] == (-1350, 150)
    assert limits["Brain"] == (0, 80)
    assert limits["Bone"] == (-500, 1300)
    assert all(low < high for low, high in limits.values())
