import pytest

from deeplab.report.cells import safe_cell


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a", "\ta", "\r=a"])
def test_what_a_spreadsheet_would_compute_is_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a", "tumour, left", "'=a", "a=b"])
def test_other_names_stay_as_they_are(text):
    assert safe_cell(text) == text
