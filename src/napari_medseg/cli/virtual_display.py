"""Runs a command under a virtual X display: ``python -m napari_medseg.cli.virtual_display 1600x1000x24 COMMAND...``.

The script ``xvfb-run`` does the same, but needs ``xauth``, which small systems lack.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

from napari_medseg.errors import JobError


def run(screen: str, command: Sequence[str]) -> int:
    """Run a command on a virtual display of its own and return its exit code.

    Parameters
    ----------
    screen : str
        Width, height and bits per pixel, such as ``"1600x1000x24"``.
    command : sequence of str
        Program and arguments.

    Raises
    ------
    JobError
        If the display does not start.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader) as numbers:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", screen, "-nolisten", "tcp"],
            pass_fds=(writer,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        try:
            number = numbers.readline().strip()
            if not number:
                raise JobError("The virtual display Xvfb does not start.", "Run `Xvfb :99` to see why.")
            environment = {**os.environ, "DISPLAY": f":{number}"}
            return subprocess.run(list(command), env=environment, check=False).returncode
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
