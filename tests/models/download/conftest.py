import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test folders are no packages; their helpers are found by name.
sys.path.append(str(Path(__file__).parent))

from web_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a web server of this machine, with what it holds and was asked."""
    with serving() as state:
        yield state
