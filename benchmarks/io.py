"""Time to read a CT series and NIfTI files, side by side with the usual readers.

    python benchmarks/io.py                     512x512x400, some three minutes on two cores
    python benchmarks/io.py --slices 40         a quick look
    python benchmarks/io.py --json io.json      also write the figures

Every reader runs in a process of its own on files that are in the page cache. The readers take turns, and the shortest
of their repetitions counts. What counts is that every voxel lies in an array in memory of the process: nobody may
return a memory map. This package forgets the headers that it knows before every repetition. The peak is the memory that
the first reading adds to a process that has read a small file of the same kind.

nibabel is timed as its manual tells to get voxels, `get_fdata()`, and once more copying the stored numbers, which are
the values only where a file has no scale; the second way is shown, and does not count as a peer of its own.
dcm2niix writes its result to the disk. A reader that is not installed is left out. No network is needed.
"""

import argparse
import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DICOM_KINDS = {"dicom_uncompressed": None, "dicom_rle": "1.2.840.10008.1.2.5", "dicom_jpegls": "1.2.840.10008.1.2.4.80",
               "dicom_jpeg2000": "1.2.840.10008.1.2.4.90"}  # fmt: skip
NIFTI_KINDS = {"nii": ".nii", "nii_gz": ".nii.gz"}
GOALS = {"dicom_uncompressed": 3.0, "nii": 3.0, "nii_gz": 1.5, "dicom_rle": 1.0, "dicom_jpegls": 1.0,
         "dicom_jpeg2000": 1.0}  # fmt: skip
SIDE = 512
REPEATS = 5
ENOUGH_SECONDS = 12.0
"""A reader that has taken so long on one kind of file is not asked again."""
NOT_PEERS = ("napari-medseg", "raw bytes", "nibabel, stored")


def phantom(slices: int) -> np.ndarray:
    """Return (slices, 512, 512) int16 HU of a noisy body: smooth organs in air, with the noise of a real scan."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    body = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    organs = sum(np.sin(fx * x + phase) * np.cos(fy * y) for fx, fy, phase in rng.uniform(2, 12, (6, 3)))
    volume = np.empty((slices, SIDE, SIDE), np.int16)
    for k in range(slices):
        plane = np.where(body, 40 + 25 * np.roll(organs, k, axis=1), -1000.0)
        volume[k] = plane + rng.normal(0, 12, plane.shape) * body
    return volume


def write_dicom(volume: np.ndarray, folder: Path, syntax: str | None) -> None:
    """Write one file per slice, names in no order."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    series, names = generate_uid(), np.random.default_rng(1).permutation(len(volume))
    for k, plane in enumerate(volume):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.StudyInstanceUID = ds.SeriesInstanceUID = series
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, k + 1
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-200.0, -200.0, float(k)]
        ds.PixelSpacing, ds.SliceThickness = [0.8, 0.8], 1.0
        ds.Rows = ds.Columns = SIDE
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = np.clip(plane + 1024, 0, 4095).astype(np.uint16).tobytes()
        ds["PixelData"].VR = "OW"
        if syntax is not None:
            ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(folder / f"{names[k]:05d}.dcm", enforce_file_format=True)


def write_nifti(volume: np.ndarray, path: Path) -> None:
    """Write a NIfTI-1 file."""
    import nibabel as nib

    nib.save(nib.Nifti1Image(volume.T, np.diag([-0.8, -0.8, 1.0, 1.0])), path)


def ours(path: Path) -> np.ndarray:
    """Read with this package, every header anew."""
    from napari_medseg import read
    from napari_medseg.io.dicom.memory import HEADERS

    HEADERS.forget()
    return np.asarray(read(path)[0].data)


def simpleitk(path: Path) -> np.ndarray:
    """Read with SimpleITK, a series by its own sorting."""
    import SimpleITK as sitk  # noqa: N813 - the name everybody uses

    if path.is_file():
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return sitk.GetArrayFromImage(reader.Execute())


def pydicom_loop(path: Path) -> np.ndarray:
    """Read a series with the usual loop: read, sort, rescale, stack."""
    from pydicom import dcmread

    found = sorted((dcmread(file) for file in path.iterdir()), key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack([ds.pixel_array.astype(np.int16) + int(ds.RescaleIntercept) for ds in found])


def dcm2niix(path: Path) -> np.ndarray:
    """Convert a series without compression; the array that it would hold is not read back."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dcm2niix", "-z", "n", "-o", folder, str(path)], check=True, capture_output=True)
        return np.empty((0,))


def nibabel(path: Path) -> np.ndarray:
    """Read with nibabel as its manual tells: values as 64-bit floats."""
    import nibabel as nib

    return nib.load(path).get_fdata(caching="unchanged").T


def nibabel_stored(path: Path) -> np.ndarray:
    """Read with nibabel what is stored, without values being made of it."""
    import nibabel as nib

    return np.array(np.asanyarray(nib.load(path).dataobj)).T


def raw(path: Path) -> np.ndarray:
    """Read the bytes only, one file after another."""
    for file in path.iterdir() if path.is_dir() else [path]:
        file.read_bytes()
    return np.empty((0,))


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "napari-medseg": ours, "SimpleITK": simpleitk, "pydicom": pydicom_loop, "dcm2niix": dcm2niix, "nibabel": nibabel,
    "nibabel, stored": nibabel_stored, "raw bytes": raw,
}  # fmt: skip


def can_run(reader: str, kind: str) -> bool:
    """Return whether a reader is installed and meant for a kind of file."""
    if reader in ("pydicom", "dcm2niix") and kind in NIFTI_KINDS:
        return False
    if reader.startswith("nibabel") and kind in DICOM_KINDS:
        return False
    if reader == "SimpleITK":
        return importlib.util.find_spec("SimpleITK") is not None
    return reader != "dcm2niix" or shutil.which("dcm2niix") is not None


def forget_peak() -> int:
    """Start a new peak of memory where the system can (Linux), and return the bytes in use."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return peak_bytes()
    clear.write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Return the most memory that the process had at once."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def serve(reader: str, warm: Path) -> None:
    """Read a path for each line that comes in, and print seconds, peak bytes, array bytes and a sum of the voxels."""
    READERS[reader](warm)
    for line in sys.stdin:
        base = forget_peak()
        start = time.perf_counter()
        array = READERS[reader](Path(line.strip()))
        seconds = time.perf_counter() - start
        peak = peak_bytes() - base
        if getattr(array, "_mmap", None) is not None:
            raise TypeError("a memory map holds no voxels yet")
        checksum = int(array.sum(dtype=np.int64)) if array.size else None
        print(json.dumps({"seconds": seconds, "peak": peak, "bytes": array.nbytes, "checksum": checksum}), flush=True)
        del array


class Reader:
    """A process that reads when it is asked to."""

    def __init__(self, name: str, warm: Path) -> None:
        command = [sys.executable, __file__, "--serve", name, str(warm)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)  # fmt: skip
        self.name = name
        self.runs: list[dict[str, float]] = []

    def read(self, path: Path) -> None:
        """Read once more, unless it takes too long or failed before."""
        if self.process.poll() is not None or sum(run["seconds"] for run in self.runs) > ENOUGH_SECONDS:
            return
        try:
            print(path, file=self.process.stdin, flush=True)
            self.runs.append(json.loads(self.process.stdout.readline()))
        except (BrokenPipeError, ValueError):
            reason = self.process.stderr.read().strip().splitlines()[-1]
            if self.name == "napari-medseg":
                raise SystemExit(reason) from None
            print(f"left out: {self.name} cannot read {path.name}: {reason[:200]}", file=sys.stderr)
            self.process.wait()

    def result(self) -> dict[str, float] | None:
        """End the process and return the shortest time and the first peak; None if it cannot read such files."""
        if self.process.poll() is None:
            self.process.communicate()
        return {**self.runs[0], "seconds": min(run["seconds"] for run in self.runs)} if self.runs else None


def run(kinds: dict[str, Path], warm: dict[str, Path]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, per kind of file and reader, what `serve` printed; the readers take turns."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for kind, path in kinds.items():
        readers = [Reader(name, warm[kind]) for name in READERS if can_run(name, kind)]
        for _ in range(REPEATS):
            for reader in readers:
                reader.read(path)
        found = {reader.name: reader.result() for reader in readers}
        results[kind] = {name: result for name, result in found.items() if result is not None}
    return results


def report(results: dict[str, dict[str, dict[str, float]]]) -> dict[str, object]:
    """Print a table and return the figures that count."""
    print("| seconds | " + " | ".join(READERS) + " | speed-up over the best | goal | peak / array |")
    print("|---|" + "---:|" * (len(READERS) + 3))
    speedups, peaks = {}, []
    for kind, found in results.items():
        mine = found["napari-medseg"]
        peers = [one for name, one in found.items() if name not in NOT_PEERS]
        for peer in peers:
            if peer["checksum"] not in (None, mine["checksum"]):
                raise SystemExit(f"{kind}: two readers disagree about the voxels")
        speedups[kind] = round(min(peer["seconds"] for peer in peers) / mine["seconds"], 2)
        peaks.append(round(mine["peak"] / mine["bytes"], 2))
        cells = [f"{found[name]['seconds']:.2f}" if name in found else "-" for name in READERS]
        print(f"| {kind} | {' | '.join(cells)} | {speedups[kind]} | {GOALS[kind]} | {peaks[-1]} |")
    return {"speedup_over_best_peer": speedups, "peak_over_array": max(peaks), "seconds": results}


def main() -> None:
    """Write the files, run the readers, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=400, help="of the series, 512x512 each")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("READER", "WARM"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], Path(arguments.serve[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        kinds, warm = {}, {}
        for size, paths in ((arguments.slices, kinds), (4, warm)):
            volume = phantom(size)
            for kind, syntax in DICOM_KINDS.items():
                paths[kind] = Path(folder) / f"{kind}-{size}"
                write_dicom(volume, paths[kind], syntax)
            for kind, suffix in NIFTI_KINDS.items():
                paths[kind] = Path(folder) / f"volume-{size}{suffix}"
                write_nifti(volume, paths[kind])
        figures = report(run(kinds, warm))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
