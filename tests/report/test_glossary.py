"""The words of the pages: each that a page marks has a paragraph on /help, and each paragraph is for a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import monitor.report
from monitor.drift.result import STATES
from monitor.report.figure import SIGNS
from monitor.report.glossary import TEXTS, WORDS, anchor, term
from monitor.report.overview import NOT_JUDGED, NOT_WATCHED
from monitor.words import STATISTIC_NAMES

WRITTEN = " ".join(path.read_text("utf-8") for path in (Path(monitor.report.__file__).parent / "templates").iterdir())

#: Words that templates mark by what a page is made of.
BY_NAME = {*STATES, NOT_JUDGED, NOT_WATCHED, *STATISTIC_NAMES.values(), "pending", "firing", "resolved"} | {
    word for _, word in SIGNS.values()
}
MARKED = BY_NAME | set(re.findall(r'\|term\("([^"]+)"\)', WRITTEN))


def test_every_word_that_a_template_marks_has_a_paragraph() -> None:
    assert set(TEXTS) >= MARKED


def test_paragraphs_are_short_sentences_at_addresses_of_their_own() -> None:
    assert sum(map(len, WORDS.values())) == len(TEXTS) == len({anchor(word) for word in TEXTS})
    for word, text in TEXTS.items():
        assert 20 < len(text) < 230, word
        assert text.endswith("."), word
        assert text[0].isupper() or text[0].isdigit(), word


def test_a_word_is_a_link_with_its_paragraph_and_any_other_text_is_itself() -> None:
    assert term("n") == f'<a class="term" href="/help#n" title="{TEXTS["n"]}">n</a>'
    assert term("<b>") == "<b>"
    with pytest.raises(KeyError):
        term("K-S", "nonsense")
