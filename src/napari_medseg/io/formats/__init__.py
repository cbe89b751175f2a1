"""One file per format; each ends in ``FORMAT = Format(...)`` and is found by walking this folder."""
