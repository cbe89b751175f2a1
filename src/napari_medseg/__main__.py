"""``python -m napari_medseg``, the same as the command ``napari-medseg``."""

from napari_medseg.cli import main

if __name__ == "__main__":
    main()
