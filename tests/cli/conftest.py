import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from napari_medseg.cli.app import run
from napari_medseg.data.phantom import ct_phantom
from napari_medseg.io import write


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs ``napari-medseg`` with arguments."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three small CTs in ``images`` and their organs in ``labels``."""
    folder = tmp_path_factory.mktemp("cases")
    for seed in range(3):
        image, labels = ct_phantom(seed, shape=(16, 40, 40), spacing_mm=(16.0, 10.0, 10.0))
        write(image, folder / "images" / f"case{seed}.nii.gz")
        write(labels, folder / "labels" / f"case{seed}.nii.gz")
    return folder


@pytest.fixture
def web() -> Iterator[Any]:
    """Yield a web server of this machine, with what it holds and was asked."""
    # Test folders are no packages; their helpers are found by name.
    sys.path.append(str(Path(__file__).parents[1] / "models" / "download"))
    from web_server import serving

    with serving() as state:
        yield state
