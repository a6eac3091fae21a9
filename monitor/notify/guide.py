"""What to do about each kind of verdict, of `guide.txt`: the page /what-to-do, docs/what-to-do.md, a line of messages.

The texts may have `code` between back-ticks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Section(NamedTuple):
    """One kind of verdict: what it means, what to look at and what to do. Messages have the first sentence of `do`."""

    anchor: str
    title: str
    means: str
    look: tuple[str, ...]
    do: tuple[str, ...]


def read(text: str) -> tuple[str, tuple[Section, ...]]:
    r"""Read an introduction, and the sections after it.

    >>> intro, sections = read("Hello.\n\n# new: A new one\nIt is new.\nlook: At it.\ndo: Nothing.\ndo: Ask.\n")
    >>> intro, sections[0].anchor, sections[0].do
    ('Hello.', 'new', ('Nothing.', 'Ask.'))
    """
    intro, *parts = text.strip().split("\n\n# ")
    sections = []
    for part in parts:
        head, means, *lines = part.splitlines()
        anchor, _, title = head.partition(": ")
        look = tuple(line.removeprefix("look: ") for line in lines if line.startswith("look: "))
        do = tuple(line.removeprefix("do: ") for line in lines if line.startswith("do: "))
        sections.append(Section(anchor, title, means, look, do))
    return intro, tuple(sections)


INTRO, SECTIONS = read((Path(__file__).parent / "guide.txt").read_text("utf-8"))


def first_step(address: str) -> str:
    """First sentence of what to do, for the address of a section: that of `missing` asks why values are missing."""
    do = next(section.do[0] for section in SECTIONS if address.endswith(f"#{section.anchor}"))
    return do.partition(". ")[0].rstrip(".") + "."
