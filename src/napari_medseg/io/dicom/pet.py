"""The factor from PET activity to the standardised uptake value by body weight."""

from math import expm1, log

from napari_medseg.io.dicom.classic import clock_seconds
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.frame import Frame

UNITS = {
    "BQML": "Bq/ml",
    "CNTS": "counts",
    "GML": "g/ml",
    "HU": "HU",
    "GY": "Gy",
    "CPS": "counts/s",
    "PROPCPS": "counts/s",
}
DAY = 86400.0


def suv_factor(frames: tuple[Frame, ...]) -> tuple[float | None, tuple[str, ...]]:
    """Return the factor from the values of a PET series to SUVbw in g/ml, or why there is none.

    The rules are those of the Quantitative Imaging Biomarkers Alliance: activity in Bq/ml, corrected for attenuation
    and decay, decay corrected to the start of the series.
    """
    header = frames[0].file.elements
    units = header.text("Units")
    if units == "GML":
        kind = header.text("SUVType") or "BW"
        return (1.0, ()) if kind == "BW" else (None, (f"PET values are SUV of the kind {kind}, not by body weight.",))
    activity = 1.0
    if units == "CNTS":
        factor, activity = (_philips(header, low) for low in (0x00, 0x09))
        if factor:
            return factor, ()
        if not activity:
            return None, ("PET values are counts without a factor to SUV; they are shown as counts.",)
        units = "BQML"
    problem = _problem(header, units)
    if problem:
        return None, (f"PET values stay activity, because SUV cannot be computed: {problem}.",)
    suv, notes = _by_weight(frames, header)
    return None if suv is None else suv * activity, notes


def _philips(header: Elements, low: int) -> float:
    """Return a factor of Philips' own, from counts to SUVbw (00) or to Bq/ml (09); 0 if there is none."""
    found = header.private_numbers("Philips PET Private Group", 0x7053, low, "DS")
    return max(0.0, found[0]) if found else 0.0


def _problem(header: Elements, units: str | None) -> str:
    corrected = header.texts("CorrectedImage")
    if units != "BQML":
        return f"the unit is {units or 'not stated'}"
    if "ATTN" not in corrected or "DECY" not in corrected:
        return "attenuation or decay is not corrected"
    if header.text("DecayCorrection") not in ("START", "ADMIN"):
        return "the moment of decay correction is not stated"
    return ""


def _by_weight(frames: tuple[Frame, ...], header: Elements) -> tuple[float | None, tuple[str, ...]]:
    drug = header.item("RadiopharmaceuticalInformationSequence")
    weight = header.number("PatientWeight")
    dose = None if drug is None else drug.number("RadionuclideTotalDose")
    half_life = None if drug is None else drug.number("RadionuclideHalfLife")
    if drug is None or not weight or not dose or not half_life or min(weight, dose, half_life) <= 0:
        return None, ("PET values stay activity: weight, dose or half-life is missing for SUV.",)
    injected = drug.text("RadiopharmaceuticalStartDateTime")
    start = clock_seconds(injected[8:] if injected else drug.text("RadiopharmaceuticalStartTime"))
    scan = _decay_reference(frames, header, half_life)
    if header.text("DecayCorrection") == "ADMIN":
        start = scan = 0.0
    if start is None or scan is None:
        return None, ("PET values stay activity: the time of injection or scan is missing for SUV.",)
    # Both are times of the day; a scan soon after midnight follows an injection before it.
    waited = (scan - start) % DAY
    if dose < 1e5:
        return None, (f"PET values stay activity: a dose of {dose:g} Bq cannot be right.",)
    return weight * 1000 / (dose * 2 ** (-waited / half_life)), ()


def _decay_reference(frames: tuple[Frame, ...], header: Elements, half_life: float) -> float | None:
    """Return the time of day that activity was corrected to: the start of the scan.

    That is the series time, unless an image was taken before it: then the series was made anew afterwards, and the
    start follows from GE's own element, or from when and how long the first image was taken.
    """
    series = clock_seconds(header.text("SeriesTime"))
    images = [frame.file.elements for frame in frames]
    taken = {id(one): clock_seconds(one.text("AcquisitionTime")) for one in images}
    known = [(moment, one) for one in images if (moment := taken[id(one)]) is not None]
    if not known:
        return series
    earliest, first = min(known, key=lambda entry: entry[0])
    if series is not None and series <= earliest:
        return series
    stored = header.private("GEMS_PETD_01", 0x09, 0x0D)
    own = clock_seconds(stored.value.decode("latin-1").strip("\0 ")[8:]) if stored else None
    return own if own is not None else earliest - _since_start(first, half_life)


def _since_start(image: Elements, half_life: float) -> float:
    """Return the seconds from the start of the scan to the start of an image, from its reference time and length."""
    reference, length = image.number("FrameReferenceTime"), image.number("ActualFrameDuration")
    if reference is None or not length or length <= 0:
        return 0.0
    rate = log(2) / half_life
    seconds = length / 1000
    # The reference is the moment at which the activity was what it was on average during the image.
    mean = log(rate * seconds / -expm1(-rate * seconds)) / rate
    return reference / 1000 - mean
