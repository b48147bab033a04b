"""Formats of dates and times, by language; Django reads them where a template names none."""
