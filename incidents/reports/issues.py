"""Wording of an import's findings, in the active language."""

from __future__ import annotations

from django.utils.translation import gettext as _

from incidents.reports.model import Issue, IssueCode


def describe(issue: Issue) -> str:
    """Return one line for a person."""
    text = {
        IssueCode.NO_TITLE: _("no title (a line that begins with “# ”)"),
        IssueCode.BAD_TIME: _("the time of analysis cannot be read; kept as text"),
        IssueCode.OPEN_FENCE: _("a code block is never closed; it was closed at the end"),
        IssueCode.KEPT_TEXT: _("not part of the layout; kept as text"),
        IssueCode.KEPT_SECTION: _("unknown section; kept as it is"),
        IssueCode.KEPT_TABLE: _("the table's columns do not fit the layout; kept as text"),
        IssueCode.RENAMED_COLUMNS: _("the table was read; its columns are printed under the layout's names"),
        IssueCode.REPEATED_SECTION: _("the section appears a second time; kept as it is"),
        IssueCode.UNKNOWN_PRIORITY: _("unknown priority; kept in the text of the change"),
        IssueCode.GENERATED: _("generated from the record; it is rebuilt and was not imported"),
        IssueCode.NOTHING: _("no section of a report was found"),
    }[issue.code]
    return f"{text}: {issue.excerpt}" if issue.excerpt else text
