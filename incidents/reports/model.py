"""A report as plain data: what the rows of ``incidents.models.report`` say, without a database.

Rows compare by their content only; where they come from (provenance, evidence, draft key) is carried
along. Texts are Markdown as printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

PERSON, MEASURED, INFERRED = "person", "measured", "inferred"
PRIORITIES = ("P0", "P1", "P2", "P3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Origin of a row. ``evidence`` is the primary key of the evidence behind it."""

    provenance: str = field(default=PERSON, compare=False)
    evidence: int | None = field(default=None, compare=False)
    key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Row):
    """One service in the table of the current state."""

    service: str
    state: str = ""
    cpu: str = ""
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Row):
    """One numbered problem. Under the one of kind ``access`` the external-access table is printed."""

    title: str
    body: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access(Row):
    """One vantage of the external-access table."""

    path: str
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause(Row):
    """One cause; ``kind`` is ``direct`` or ``secondary``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProblem(Row):
    """Current against right behaviour."""

    problem: str
    current: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Row):
    """One emergency command with its comment."""

    comment: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix(Row):
    """One change to a file."""

    file: str
    change: str = ""
    priority: str = "P1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy(Row):
    """One proxy change; an empty title prints the layout's own."""

    title: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTerm(Row):
    """One long-term improvement."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Row):
    """One report file; without a label the path is printed as it is."""

    label: str = ""
    path: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Row):
    """One checklist line. Priority, verifier and parameters never appear in Markdown."""

    text: str
    ticked: bool = False
    priority: str = field(default="P1", compare=False)
    verifier: str = field(default="", compare=False)
    target: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra(Row):
    """Text that the layout does not know. ``level`` 0: no heading, loose text of the slot ``after``."""

    heading: str = ""
    level: int = 2
    body: str = ""
    after: str = "title"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report. ``empty``: slots printed as "no data"; ``headings``: a slot's own wording."""

    title: str = ""
    language: str = "ko"
    analysed_at: datetime | None = None
    root_cause: str = ""
    root_cause_row: Row = field(default_factory=Row, compare=False)
    status: tuple[Status, ...] = ()
    problems: tuple[Problem, ...] = ()
    access: tuple[Access, ...] = ()
    causes: tuple[Cause, ...] = ()
    code_problems: tuple[CodeProblem, ...] = ()
    commands: tuple[Command, ...] = ()
    fixes: tuple[Fix, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    long_term: tuple[LongTerm, ...] = ()
    files: tuple[File, ...] = ()
    checklist: tuple[Item, ...] = ()
    extras: tuple[Extra, ...] = ()
    empty: tuple[str, ...] = ()
    headings: tuple[tuple[str, str], ...] = ()


class IssueCode(StrEnum):
    """What an import could not take as it stood; the text itself is always kept."""

    NO_TITLE = "no_title"
    BAD_TIME = "bad_time"
    OPEN_FENCE = "open_fence"
    KEPT_TEXT = "kept_text"
    KEPT_SECTION = "kept_section"
    KEPT_TABLE = "kept_table"
    RENAMED_COLUMNS = "renamed_columns"
    REPEATED_SECTION = "repeated_section"
    UNKNOWN_PRIORITY = "unknown_priority"
    GENERATED = "generated"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding of an import at a line (from 1)."""

    line: int
    code: IssueCode
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document and what could not be read as part of the layout, in order of lines."""

    document: Document
    issues: tuple[Issue, ...] = ()
