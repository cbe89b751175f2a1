import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import ConfigError
from napari_medseg.models import ModelSpec
from napari_medseg.progress import EpochEnd, Finished, Preview, Saved
from napari_medseg.training import Case, RunFolder, TrainConfig, TrainResult, create_run

SPEC = ModelSpec(name="head", architecture="unet")
CASE = Case(id="a", image=Path("a.nii.gz"), labels=Path("b.nii.gz"))


def test_what_was_set_up_is_read_back(tmp_path: Path) -> None:
    train = TrainConfig(learning_rate=1e-4, seed=5)
    run = create_run(tmp_path / "run", SPEC, [CASE], train, init=tmp_path / "start")
    config = RunFolder(run.path).load()
    assert config.spec == SPEC
    assert config.cases == (CASE,)
    assert config.train == train
    assert config.init == tmp_path / "start"


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    create_run(tmp_path, SPEC, [CASE])
    with pytest.raises(ConfigError, match="already holds"):
        create_run(tmp_path, SPEC, [CASE])


@pytest.mark.parametrize("cases", [[], [CASE, CASE]])
def test_cases_must_exist_and_differ(tmp_path: Path, cases: list[Case]) -> None:
    with pytest.raises(ConfigError, match=r"cases|identifiers"):
        create_run(tmp_path, SPEC, cases)
    assert not (tmp_path / "config.json").exists()


def test_a_folder_without_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no training run"):
        RunFolder(tmp_path).load()


def test_a_damaged_configuration_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    run = create_run(tmp_path, SPEC, [CASE])
    run.config.write_text("{")
    with pytest.raises(ConfigError, match="not understood"):
        run.load()


def test_the_log_has_one_line_per_event_and_no_arrays(tmp_path: Path) -> None:
    run = create_run(tmp_path, SPEC, [CASE])
    run.log(EpochEnd(3, 0.5, {"liver": 0.9}, True, 1.5))
    run.log(Preview("a", 0, 3, np.zeros((2, 2), np.uint8), 7))
    run.log(Saved("bundle", run.bundle, 7))
    run.log(Finished(TrainResult(run.bundle, 7, 9, False, None, 2.0)))
    lines = [json.loads(line) for line in run.events.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["EpochEnd", "Preview", "Saved", "Finished"]
    assert lines[0]["dice"] == {"liver": 0.9}
    assert lines[1] == {"event": "Preview", "sample": "a", "axis": 0, "index": 3, "step": 7, "doubt": None, "shown": ""}
    assert lines[3]["result"]["bundle"] == str(run.bundle)
