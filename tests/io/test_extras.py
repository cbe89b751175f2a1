"""What a format has no field for survives as one line of JSON."""

import numpy as np

from napari_medseg.io.extras import Extras, fields_of, line_in
from napari_medseg.volume import LabelClass, Volume

VOLUME = Volume(
    np.zeros((2, 3, 4, 5), np.uint8),
    None,
    name="a name that is not kept",
    kind="labels",
    modality="MR",
    axes=("b_value",),
    axis_values={"b_value": np.array([0.0, 1000.0])},
    classes=(LabelClass(value=1, name='a "quoted" Größe\nin two lines'),),
)


def test_the_line_is_ascii_without_spaces_and_comes_back() -> None:
    line = Extras.of(VOLUME).line
    assert line.isascii()
    assert not any(char.isspace() for char in line)
    assert "not kept" not in line.replace("\\u0020", " ")
    assert Extras.parse(line) == Extras.of(VOLUME)
    assert Extras.parse("") == Extras()


def test_a_line_cut_anywhere_is_joined_again() -> None:
    line = Extras.of(VOLUME).line
    for most in (1, 7, 1000):
        assert line_in(fields_of(line, most) | {"other": "field"}) == line


def test_leading_axes_come_back_in_their_order() -> None:
    written = Volume(np.zeros((2, 6, 3, 4, 5)), None, axes=("component", "time"))
    found = Volume(np.arange(720.0).reshape(6, 2, 3, 4, 5), None, axes=("time", "component"))
    applied = Extras.of(written).applied(found)
    assert applied.axes == ("component", "time")
    np.testing.assert_array_equal(applied.data, found.data.swapaxes(0, 1))


def test_fractions_are_no_labels() -> None:
    assert Extras.of(VOLUME).applied(Volume(np.zeros((3, 4)), None)).kind == "image"
