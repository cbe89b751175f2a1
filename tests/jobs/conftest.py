import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_medseg.jobs import LocalEngine

# The worker process imports the tests' jobs by name.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(patience_seconds=1.0, warm_up=False)
    yield engine
    engine.close()
