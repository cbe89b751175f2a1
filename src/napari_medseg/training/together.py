"""The folder in which each of several processes trains: the first in the run's own, the others in copies."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_medseg import processes
from napari_medseg.training.atomic import write_text
from napari_medseg.training.run import RunFolder

SELDOM = 1e9
"""Seconds between checkpoints that nobody needs."""


@contextmanager
def own_folder(run: RunFolder) -> Iterator[RunFolder]:
    """Yield the folder that this process may write to.

    Parameters
    ----------
    run : RunFolder
        The run; it belongs to the first process. Another one trains in a temporary copy of what the run goes on from.
    """
    with processes.joined():
        if processes.rank() == 0:
            # The others have copied.
            processes.wait()
            yield run
            return
        with TemporaryDirectory(prefix="napari-medseg-") as folder:
            copy = RunFolder(Path(folder))
            for path in (run.held_out, run.last, run.best):
                if path.exists():
                    target = copy.path / path.relative_to(run.path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            write_text(copy.config, _quiet(run.config))
            processes.wait()
            yield copy


def _quiet(config: Path) -> str:
    """Return a run's configuration without what only the first process has to do."""
    content = json.loads(config.read_text(encoding="utf-8"))
    seldom = {"checkpoint_seconds": SELDOM, "preview_hz": 0}
    content["train"] |= {name: value for name, value in seldom.items() if name in content["train"]}
    return json.dumps({name: None if name == "replaces" else value for name, value in content.items()})
