"""Predicting on many images: found, read ahead, written behind, each recorded, and resumed after an interruption."""

from napari_medseg.inference.cases.finding import find_cases
from napari_medseg.inference.cases.pipeline import CasesResult, predict_cases
from napari_medseg.inference.cases.records import CaseRecord
from napari_medseg.inference.cases.request import Case, PredictRequest

__all__ = ["Case", "CaseRecord", "CasesResult", "PredictRequest", "find_cases", "predict_cases"]
