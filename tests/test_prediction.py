"""Classes have colours and validated values."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_medseg.prediction import PALETTE, LabelClass, LabelMap, Prediction, ProbabilityMap


def test_colours_follow_the_palette_and_repeat_after_twenty() -> None:
    assert LabelClass(value=1, name="a").color == PALETTE[0]
    assert LabelClass(value=20, name="b").color == PALETTE[19]
    assert LabelClass(value=21, name="c").color == PALETTE[0]
    assert LabelClass(value=3, name="d", color="#00ff00").color == "#00ff00"


def test_a_class_survives_json() -> None:
    liver = LabelClass(value=5, name="liver")
    assert LabelClass.model_validate_json(liver.model_dump_json()) == liver


@pytest.mark.parametrize(
    "values", [{"value": -1, "name": "x"}, {"value": 1, "name": ""}, {"value": 70000, "name": "x"}]
)
def test_impossible_classes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LabelClass.model_validate(values)


def test_the_label_map_is_found_among_the_outputs() -> None:
    classes = (LabelClass(value=0, name="background"), LabelClass(value=1, name="a"))
    labels = LabelMap(np.zeros((2, 2), np.uint8), classes)
    probabilities = ProbabilityMap(np.zeros((2, 2, 2), np.float32), classes)
    assert Prediction((probabilities, labels), None, "model", "0" * 64).label_map is labels
