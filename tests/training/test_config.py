import subprocess
import sys

import pytest
from pydantic import ValidationError

from napari_medseg.training import TrainConfig


def test_defaults_are_valid_and_round_trip() -> None:
    config = TrainConfig()
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_every_field_says_what_it_does() -> None:
    for name, field in TrainConfig.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"minutes": 0},
        {"learning_rate": 0},
        {"learning_rate": 1.5},
        {"hold_out": 0.6},
        {"preview_hz": 3},
        {"patch_size": (4, 64, 64)},
        {"learning_rte": 0.1},
        {"schedule": "linear"},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(**values)  # type: ignore[arg-type]


def test_setting_up_a_training_needs_no_torch() -> None:
    code = (
        "import sys, napari_medseg.training, napari_medseg.training.jobs, napari_medseg.data, napari_medseg.tasks; "
        "import napari_medseg.data.augment, napari_medseg.data.split, napari_medseg.data.patches; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
