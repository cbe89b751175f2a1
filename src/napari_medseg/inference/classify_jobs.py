"""Classification as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator
from pathlib import Path

from napari_medseg.data.labelled.listing import pictures_of
from napari_medseg.data.labelled.table import lines_of, read_table
from napari_medseg.inference.classify import classify
from napari_medseg.inference.classify_sources import chosen_pictures
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event


def classify_table(
    control: Control, bundle: Path, folder: Path, table: Path | None = None, device: str = "auto"
) -> Iterator[Event]:
    """Predict the classes of the images that a table names, or of all in a folder.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    bundle : Path
        The model.
    folder : Path
        Of the images; the table may name others by their whole path.
    table : Path, optional
        As for `read_table`, without classes; the model's covariates are read where it has them.
    device : str
        As for `napari_medseg.device.choose`.

    Yields
    ------
    Event
        Those of `classify`; the last one is `Finished` with its `Classified`.
    """
    model = Bundle.load(bundle)
    if table is None:
        (chosen,) = chosen_pictures(model, [folder])
        yield from classify(model, chosen.pictures, control, device)
        return
    names = [covariate.name for covariate in model.spec.covariates]
    told = bool(names) and all(name.lower() in line for line in lines_of(table) for name in names)
    rows = read_table(table, names if told else (), labelled=False).rows
    pictures = pictures_of([(folder, row) for row in rows], folder, model.spec.crop)
    yield from classify(model, pictures, control, device, tuple(row.facts for row in rows) if told else ())
