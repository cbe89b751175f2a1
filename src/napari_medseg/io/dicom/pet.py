"""The factor from PET activity to the standardised uptake value by body weight."""

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
        return 1.0, ()
    if units == "CNTS":
        factor = header.private_numbers("Philips PET Private Group", 0x7053, 0x00, "DS")
        if factor and factor[0] > 0:
            return factor[0], ()
        return None, ("PET values are counts without a factor to SUV; they are shown as counts.",)
    problem = _problem(header, units)
    if problem:
        return None, (f"PET values stay activity, because SUV cannot be computed: {problem}.",)
    return _by_weight(frames, header)


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
    scan = _decay_reference(frames, header)
    if header.text("DecayCorrection") == "ADMIN":
        start = scan = 0.0
    if start is None or scan is None:
        return None, ("PET values stay activity: the time of injection or scan is missing for SUV.",)
    # Both are times of the day; a scan soon after midnight follows an injection before it.
    waited = (scan - start) % DAY
    if dose < 1e5:
        return None, (f"PET values stay activity: a dose of {dose:g} Bq cannot be right.",)
    return weight * 1000 / (dose * 2 ** (-waited / half_life)), ()


def _decay_reference(frames: tuple[Frame, ...], header: Elements) -> float | None:
    """Return the time of day that activity was corrected to: the series time, unless an image was taken before it."""
    series = clock_seconds(header.text("SeriesTime"))
    taken = [clock_seconds(frame.file.elements.text("AcquisitionTime")) for frame in frames]
    earliest = min((moment for moment in taken if moment is not None), default=None)
    if series is None or earliest is None:
        return series if series is not None else earliest
    return min(series, earliest)
