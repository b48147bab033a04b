"""Reports: typed rows, a deterministic draft, and Markdown, HTML and JSON out of one record."""

from incidents.reports.export import ReportMissing, render

__all__ = ["ReportMissing", "render"]
