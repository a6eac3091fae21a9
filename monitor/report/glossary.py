"""The words of the pages, a short paragraph each in `templates/words.toml`: /help lists them, tooltips show them.

A template marks a word with the filter `term`, which links it to its paragraph.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

#: Paragraphs by word, by the heading that they are under.
WORDS: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "templates" / "words.toml").read_text("utf-8")
)
TEXTS = {word: text for group in WORDS.values() for word, text in group.items()}

#: Words of other forms, mostly of headings.
FORMS = {
    "critical": "critical value",
    "floor": "effect floor",
    "95 %": "95 % interval",
    "category": "bin",
}
_BY_NAME = {word.lower(): word for word in TEXTS} | FORMS


def anchor(word: str) -> str:
    """Fragment of the address of a word's paragraph.

    >>> anchor("K-S"), anchor("95 % interval")
    ('k-s', '95-interval')
    """
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


@lru_cache(512, typed=True)
def term(text: str, word: str = "") -> str:
    """Link a text to the paragraph of `word`, or of the text itself; without a `word` an unknown text stays as it is.

    Raises KeyError for an unknown `word`.

    >>> term("Rows"), term("Floor")[:42]
    ('Rows', Markup('<a class="term" href="/help#effect-floor" '))
    """
    found = _BY_NAME[word] if word else _BY_NAME.get(text.lower())
    if found is None:
        return text
    link = Markup('<a class="term" href="/help#{}" title="{}">{}</a>')
    return link.format(anchor(found), TEXTS[found], text)
