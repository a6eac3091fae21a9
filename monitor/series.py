"""A series: one stream of counts of one model.

All rows of a model are one, those of a segment another, those whose outcome is known a third. Each has columns, bins
and a reference of its own, so the counts of two series of one model need not have the same n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from monitor.columns.column import Schema
from monitor.drift.layout import Layout
from monitor.drift.result import Subject
from monitor.outcomes.sums import Target
from monitor.reference.file import Reference


@dataclass(frozen=True, eq=False)
class Series:
    """A series as the store knows it. `first_served`: since when its totals count, UTC.

    A model version with another reference is another series: its counts have other bins. `column_ids`: of the columns
    in the order of the schema.
    """

    id: int
    subject: Subject
    reference: Reference
    column_ids: tuple[int, ...]
    first_served: str

    def __repr__(self) -> str:
        return f"<Series {self.subject.series} of {self.subject.title}: {self.schema.summary}>"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.subject.model

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.subject.version

    @property
    def schema(self) -> Schema:
        """Its columns."""
        return self.reference.schema

    @cached_property
    def target(self) -> Target:
        """What the outcomes of its model are."""
        return self.reference.target

    @cached_property
    def layout(self) -> Layout:
        """Positions of the bins of its columns, and what a shift of one does to the model."""
        baseline = self.reference.baseline
        return Layout(self.schema, baseline.harm if baseline else None)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many counts each of its columns has."""
        return tuple(column.size for column in self.schema.columns)
