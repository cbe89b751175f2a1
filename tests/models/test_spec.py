"""A specification that contradicts itself is refused at once."""

import pytest
from pydantic import ValidationError

from napari_medseg.models import BACKGROUND, Intensity, ModelSpec
from napari_medseg.volume import LabelClass


def test_a_specification_survives_json():
    spec = ModelSpec(name="m", architecture="unet", spacing=(2, 1, 1), metrics={"dice/a": 0.5}, options={"features": 2})
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": (8, 8)}, "needs 3 positive numbers"),
        ({"dims": 2, "patch_size": (0, 8)}, "needs 2 positive numbers"),
        ({"classes": (BACKGROUND,)}, "background"),
        ({"classes": (LabelClass(value=1, name="a"), BACKGROUND)}, "background"),
        ({"classes": (BACKGROUND, LabelClass(value=2, name="a"), LabelClass(value=2, name="b"))}, "distinct"),
        ({"spacing": (1, 1, 0)}, "positive"),
        ({"spacing": (1, 1, 1), "axcodes": None}, "axcodes"),
        ({"axcodes": "SPX"}, "pattern"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_contradictions(fields, message):
    with pytest.raises(ValidationError, match=message):
        ModelSpec(**{"name": "m", "architecture": "unet"} | fields)


def test_intensity_limits_are_ordered():
    with pytest.raises(ValidationError, match="must be below"):
        Intensity(kind="window", low=10, high=-10)
