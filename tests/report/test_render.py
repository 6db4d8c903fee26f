"""Numbers for people, and templates that neither hide a gap nor let markup through."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from bidsapp.report.render import number, render, render_page


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 1, "n/a"),
        (134.429, 1, "134.4"),
        (-3.14159, 2, "\N{MINUS SIGN}3.14"),
        (-0.04, 1, "0.0"),
        (29328, 0, "29\N{NARROW NO-BREAK SPACE}328"),
        (-1234.5, 1, "\N{MINUS SIGN}1\N{NARROW NO-BREAK SPACE}234.5"),
        (0, 0, "0"),
    ],
)
def test_numbers_are_written_for_people(value, digits, text):
    assert number(value, digits) == text


def test_a_missing_value_is_an_error_not_a_blank():
    with pytest.raises(UndefinedError):
        render("participant.html", label="01")


def test_markup_in_values_is_escaped():
    context = {
        "scans": [], "anatomy": [], "regions": {}, "version": "<b>",
        "viewer_data": {"a": "</script>"}, "colours": {}, "pixels": None, "blocks": {},
    }  # fmt: skip
    page = render_page("participant.html", (), (), label="<i>\x00\x1b\u202e</i>",
                       methods={"paragraphs": [], "references": []}, **context)  # fmt: skip
    assert "<i>" not in page and "<b>" not in page.replace("<b>CentiPET</b>", "")
    assert "sub-&lt;i&gt; &lt;/i&gt;" in page and page.count("</script>") == 2
