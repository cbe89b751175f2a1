"""What the elements of a header cannot settle: text burnt into pixels, faces, documents, bits beside the pixels."""

import numpy as np
from pydicom.dataset import Dataset

DOCUMENTS = {
    "EncapsulatedDocument": "an encapsulated document",
    "ContentSequence": "a structured report",
    "GraphicAnnotationSequence": "annotations drawn by hand",
}
"""Elements that are the whole point of a file, and that the profile would replace by a dummy."""
OFTEN_WITH_TEXT = frozenset(
    (
        "US",
        "IVUS",
        "SC",
        "OT",
        "XA",
        "RF",
        "ES",
        "XC",
        "GM",
        "OP",
        "OPT",
        "CR",
        "DX",
        "MG",
        "IO",
        "PX",
        "DG",
        "TG",
        "EC",
    )
)
"""Modalities whose pictures often show the name of the patient."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SCREEN = frozenset(("SCREEN SAVE", "SCREENSAVE", "REPORT", "RPT", "LOGO", "CSA REPORT"))
HEAD = ("HEAD", "BRAIN", "FACE", "SKULL", "ORBIT", "NECK", "SINUS", "IAC", "TMJ")
VOLUME_MODALITIES = frozenset(("CT", "MR", "PT", "NM"))
NATIVE_SYNTAXES = frozenset(
    ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
)


def document_in(dataset: Dataset) -> str | None:
    """Return what makes a file one that the profile leaves nothing of; None for images and the like."""
    return next((name for keyword, name in DOCUMENTS.items() if keyword in dataset), None)


def pixel_warning(dataset: Dataset) -> str | None:
    """Return why the pixels may show text that identifies the patient; None if nothing points to it.

    The profile cleans headers. Only a person, or a program made for it, can clean pixels.
    """
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return None
    stated = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if stated == "YES":
        return "the header says that text is burnt into the pixels"
    if stated == "NO":
        return None
    modality = str(dataset.get("Modality") or "").strip().upper()
    kinds = {str(part).strip().upper() for part in dataset.get("ImageType") or ()}
    if str(dataset.get("SOPClassUID") or "").startswith(SECONDARY_CAPTURE) or kinds & SCREEN:
        return "a secondary capture may show text, and the header does not say that it does not"
    if modality in OFTEN_WITH_TEXT or not modality:
        return f"pictures of modality {modality or 'unknown'} often show text, and the header does not say otherwise"
    if modality in VOLUME_MODALITIES and (dataset.get("SamplesPerPixel") or 1) > 1:
        return "a coloured picture of a scanner is often a report with text"
    return None


def face_warning(dataset: Dataset) -> str | None:
    """Return why the patient may be recognised by the surface of the head; None if nothing points to it."""
    if str(dataset.get("RecognizableVisualFeatures") or "").strip().upper() == "YES":
        return "the header says that the patient can be recognised from the pixels"
    part = str(dataset.get("BodyPartExamined") or "").upper()
    if str(dataset.get("Modality") or "") in ("CT", "MR") and any(word in part for word in HEAD):
        return "a face can be reconstructed from slices of a head"
    return None


def is_mosaic(dataset: Dataset) -> bool:
    """Return whether slices are tiled in one picture whose layout only private elements tell."""
    return "MOSAIC" in (dataset.get("ImageType") or ())


def has_hidden_overlay(dataset: Dataset) -> bool:
    """Return whether a drawing is kept in bits of the pixels that the image does not use."""
    planes = range(0x6000, 0x6020, 2)
    return any((dataset.get((group, 0x0102)) is not None and dataset[group, 0x0102].value) for group in planes)


def erase_unused_bits(dataset: Dataset) -> bool:
    """Set to zero the bits of uncompressed whole-number pixels that are not part of the image; return whether any were.

    Signed numbers keep their sign in the highest bit in use, as the standard has it, so nothing of the image changes.
    """
    allocated, stored = (int(dataset.get(keyword) or 0) for keyword in ("BitsAllocated", "BitsStored"))
    high = int(dataset.get("HighBit") or stored - 1)
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else "1.2.840.10008.1.2"
    if allocated not in (8, 16, 32) or not 0 < stored < allocated or high + 1 < stored or syntax not in NATIVE_SYNTAXES:
        return False
    order = "<" if dataset.original_encoding[1] else ">"
    data: bytes = dataset.PixelData
    whole = len(data) // (allocated // 8) * (allocated // 8)
    pixels = np.frombuffer(data[:whole], f"{order}u{allocated // 8}")
    mask = ((1 << stored) - 1) << (high + 1 - stored)
    dataset["PixelData"].value = (pixels & pixels.dtype.type(mask)).tobytes() + data[whole:]
    return True
