"""The coded terms of a segment: what it is, said in SNOMED CT as far as its name tells."""

import re
from dataclasses import dataclass
from functools import cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SYNONYMS = {"Tumor": "Neoplasm", "Tumour": "Neoplasm", "Oedema": "Edema", "Metastasis": "Lesion"}
SIDES = {"Left": Code("7771000", "SCT", "Left"), "Right": Code("24028007", "SCT", "Right")}
LISTS = (
    ("cid7159", Code("49755003", "SCT", "Morphologically Abnormal Structure")),
    ("cid7191", Code("85756007", "SCT", "Tissue")),
    ("cid7192", Code("123037004", "SCT", "Anatomical Structure")),
)
"""Lists of property types in DICOM PS3.16 (lesions, tissues, organs), each with the category of what it lists."""


@dataclass(frozen=True)
class Term:
    """What a segment is."""

    category: Code
    kind: Code
    side: Code | None = None


def term_of(name: str) -> Term:
    """Return the term that a class name spells, or "tissue", which claims nothing.

    Examples
    --------
    >>> term_of("left kidney").kind.meaning, term_of("left kidney").side.meaning
    ('Kidney', 'Left')
    >>> term_of("class 3").kind.meaning
    'Tissue'
    """
    words = [word.capitalize() for word in re.findall(r"[A-Za-z]+|\d+", name)]
    sides = [SIDES[word] for word in words if word in SIDES]
    spelled = "".join(word for word in words if word not in SIDES)
    spelled = SYNONYMS.get(spelled, spelled)
    for key, category in LISTS:
        if spelled in _names(key):
            return Term(category, getattr(getattr(codes, key), spelled), sides[0] if len(sides) == 1 else None)
    tissue = LISTS[1][1]
    return Term(tissue, tissue)


@cache
def _names(key: str) -> frozenset[str]:
    return frozenset(getattr(codes, key).dir())
