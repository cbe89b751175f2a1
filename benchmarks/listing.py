"""Time to list the series of a folder of many DICOM files, side by side with the usual loop over headers.

    python benchmarks/listing.py                10,000 files in series of 100, about half a minute
    python benchmarks/listing.py --files 1000 --json listing.json

The files are in the page cache. The two take turns, and the shortest of three repetitions counts: for this package the
first time, with neither a header nor a scan known; again in the same session; and in a new session, where what the
scan found is known from the disk. No network is needed.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from napari_medseg.io import scan
from napari_medseg.io.dicom.memory import HEADERS

PER_SERIES = 100
REPEATS = 3
LONG_AGO_NS = 10**18


def slice_dataset() -> Dataset:
    """Return a small CT slice."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.PatientName, ds.StudyDescription, ds.SeriesDescription = "Somebody^Else", "Study", "Series"
    ds.Modality, ds.StudyInstanceUID, ds.FrameOfReferenceUID = "CT", "1.2.3", "1.2.4"
    ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness = [1, 0, 0, 0, 1, 0], [0.8, 0.8], 1.0
    ds.Rows = ds.Columns = 16
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelData = bytes(2 * 16 * 16)
    ds["PixelData"].VR = "OW"
    return ds


def write_many(folder: Path, count: int) -> None:
    """Write slices in folders of one series each, as if they had been there for long."""
    ds = slice_dataset()
    for number in range(count):
        series, index = divmod(number, PER_SERIES)
        ds.SeriesInstanceUID, ds.SeriesNumber, ds.InstanceNumber = f"1.2.3.{series}", series, index
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{series}.{index}"
        ds.ImagePositionPatient = [-200.0, -200.0, float(index)]
        path = folder / f"series{series:03d}" / f"{index:04d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def pydicom_list(folder: Path) -> int:
    """List series with the usual loop over headers, and return their number."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len({dcmread(path, stop_before_pixels=True).SeriesInstanceUID for path in files})


def ours_list(folder: Path) -> int:
    """List series with this package, and return their number."""
    return len(scan(folder))


def measure(count: int) -> dict[str, float]:
    """Return the seconds of each way."""

    def timed(list_series: Callable[[Path], int], folder: Path) -> float:
        start = time.perf_counter()
        if list_series(folder) != -(-count // PER_SERIES):
            raise SystemExit("a series is missing")
        return time.perf_counter() - start

    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "files"
        write_many(folder, count)
        for turn in range(REPEATS):
            os.environ["NAPARI_MEDSEG_HOME"] = f"{root}/home{turn}"
            steps = {"pydicom": pydicom_list, "first": ours_list, "again": ours_list, "new session": ours_list}
            for name, step in steps.items():
                if name in ("first", "new session"):
                    HEADERS.forget()
                found[name] = min(timed(step, folder), found.get(name, float("inf")))
    return found


def main() -> None:
    """Write the files, list them, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seconds = measure(arguments.files)
    print(f"Listing {arguments.files} files: " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))
    if arguments.json:
        speedup = {name: round(seconds["pydicom"] / value, 2) for name, value in seconds.items() if name != "pydicom"}
        figures = {"files": arguments.files, "seconds": seconds, "speedup_over_pydicom": speedup}
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
