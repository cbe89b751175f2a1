"""Trust belongs to content: one byte more and it is gone."""

import json

import pytest

from napari_medseg.errors import TrustError
from napari_medseg.models.trust import digest_of, distrust, is_trusted, require, trust, trust_file, trusted


def test_trust_is_kept_and_taken_back(medseg_home):
    assert not is_trusted("a" * 64)
    trust("a" * 64, "liver")
    trust("b" * 64, "Aorta")
    assert trust_file() == medseg_home / "trusted.json"
    assert [(entry.name, entry.digest[0]) for entry in trusted()] == [("Aorta", "b"), ("liver", "a")]
    assert trusted()[0].since[:2] == "20"
    assert distrust("a" * 64)
    assert not distrust("a" * 64)
    assert not is_trusted("a" * 64)
    assert is_trusted("b" * 64)


def test_the_error_says_what_trust_would_belong_to():
    with pytest.raises(TrustError, match="liver is a program") as caught:
        require("c" * 64, "liver", "is a program")
    assert (caught.value.digest, caught.value.name) == ("c" * 64, "liver")
    trust("c" * 64, "liver")
    require("c" * 64, "liver", "is a program")


def test_a_damaged_file_trusts_nothing(medseg_home):
    trust("a" * 64, "liver")
    trust_file().write_text("{")
    assert not is_trusted("a" * 64)
    trust_file().write_text(json.dumps(["a" * 64]))
    assert trusted() == ()


def test_the_digest_is_of_names_and_contents(tmp_path):
    folder = tmp_path / "model"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "net.py").write_text("x = 1")
    first = digest_of(folder)
    (folder / "scripts" / "__pycache__").mkdir()
    (folder / "scripts" / "__pycache__" / "net.pyc").write_bytes(b"cache")
    assert digest_of(folder) == first
    (folder / "scripts" / "net.py").write_text("x = 2")
    second = digest_of(folder)
    assert second != first
    (folder / "scripts" / "net.py").rename(folder / "scripts" / "other.py")
    assert digest_of(folder) not in (first, second)


def test_a_file_and_its_content_have_one_digest(tmp_path):
    (tmp_path / "a.ts").write_bytes(b"content")
    assert digest_of(tmp_path / "a.ts") == digest_of(b"content") != digest_of(b"contents")
