"""The stand-alone reader check: many vendors' series and oddities, run as it is run from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_all_reader_cases_pass(reader_check: Path, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    cases = sorted(case for case in shared_data("readers").iterdir() if (case / "expected.json").is_file())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Each case starts a process of its own, so two halves side by side take half the time.
    runs = []
    for half in range(2):
        folders = [str(case) for case in cases[half::2]]
        command = [sys.executable, str(reader_check), "napari_medseg:read", *folders, "--json", f"{tmp_path}/{half}"]
        runs.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment))
    for run in runs:
        run.wait(timeout=280)
    results = [result for half in range(2) for result in json.loads((tmp_path / f"{half}").read_text())]
    failed = [f"{result['case']}: {result['why']}" for result in results if not result["verdict"].startswith("PASS")]
    assert len(results) == len(cases)
    assert not failed
