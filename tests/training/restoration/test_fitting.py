"""How many steps are announced while a time is not yet planned."""

import pytest

from napari_medseg.training.restoration.config import RestorationConfig
from napari_medseg.training.restoration.fitting import RESERVE, Standing, _expected


@pytest.mark.parametrize(
    ("standing", "config", "steps"),
    [
        (Standing(step=2, seconds=1.0), RestorationConfig(minutes=1), int(RESERVE * 120)),
        (Standing(step=2, seconds=90.0), RestorationConfig(minutes=1), 3),
        (Standing(step=2, seconds=1.0), RestorationConfig(minutes=1, steps=50), 50),
        (Standing(planned=70, step=20, seconds=9.0), RestorationConfig(minutes=1), 70),
        (Standing(step=20, seconds=9.0), RestorationConfig(minutes=None, steps=300), 300),
    ],
)
def test_what_is_announced_fits_the_time(standing, config, steps):
    assert _expected(standing, config) == steps
