import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Test folders are no packages; their helpers are found by name.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "models" / "download")]


@pytest.fixture
def nnunet(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a trained-model folder with random weights, and gives the folder."""
    pytest.importorskip("nnunetv2", reason="needs the extra nnunet")

    from nnunet_models import save_fold

    def write(
        plans: dict[str, Any],
        dataset: dict[str, Any],
        folds: int = 2,
        mirror: tuple[int, ...] | None = (0, 1),
        name: str = "model",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "plans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset))
        for fold in range(folds):
            save_fold(folder / f"fold_{fold}", plans, dataset, fold, mirror)
        return folder

    return write


@pytest.fixture
def web() -> Iterator[Any]:
    """Yield a web server of this machine, with what it holds and was asked."""
    from web_server import serving

    with serving() as state:
        yield state
