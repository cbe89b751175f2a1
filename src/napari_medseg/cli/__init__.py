"""The command ``napari-medseg``: everything without a display."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code: 0 done, 2 bad input, 130 stopped by the user.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if None.
    """
    from napari_medseg.cli.app import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))
