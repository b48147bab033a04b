"""The Korean catalogues: whole, compiled, and true to the placeholders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest
from django.conf import settings

from tests.require import require

ROOT = Path(__file__).resolve().parents[2]
OURS, LIBRARIES = CATALOGUES = [Path(path) / "ko" / "LC_MESSAGES" for path in settings.LOCALE_PATHS]
#: Where our own words are.
SOURCES = ("gateway", "incidents", "portal", "templates")
PLACEHOLDER = re.compile(r"%\(\w+\)[-+ 0#]*[\d.]*[a-z]|\{\w*\}|%%|<[^>]+>")
UPDATE = "see the head of portal/locale/ko/LC_MESSAGES/django.po for how to update"

by_catalogue = pytest.mark.parametrize("folder", CATALOGUES, ids=lambda path: path.parents[1].name)
Key = tuple[str | None, str, str]


def key(entry: polib.POEntry | polib.MOEntry) -> Key:
    return entry.msgctxt or None, entry.msgid, entry.msgid_plural or ""


def words(entry: polib.POEntry | polib.MOEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def extracted(folder: Path) -> set[Key]:
    """Copy the sources to ``folder`` and return the messages that they hold now."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (folder / "locale").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "ko", "--verbosity", "0"]
    done = subprocess.run(  # noqa: S603 - our own words only
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return {key(entry) for entry in polib.pofile(str(folder / "locale/ko/LC_MESSAGES/django.po"))}


@by_catalogue
def test_the_compiled_catalogue_is_the_text_one(folder: Path) -> None:
    text = polib.pofile(str(folder / "django.po"))
    compiled = polib.mofile(str(folder / "django.mo"))

    assert {key(entry): words(entry) for entry in compiled} == {key(entry): words(entry) for entry in text}, (
        UPDATE
    )


@by_catalogue
def test_every_message_is_translated_once_and_for_certain(folder: Path) -> None:
    catalogue = polib.pofile(str(folder / "django.po"), check_for_duplicates=True)

    assert [entry.msgid for entry in catalogue if not all(words(entry))] == []
    assert [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete] == []
    assert "nplurals=1" in catalogue.metadata["Plural-Forms"]


@by_catalogue
def test_placeholders_survive_translation(folder: Path) -> None:
    for entry in polib.pofile(str(folder / "django.po")):
        wanted = sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for text in words(entry):
            assert sorted(PLACEHOLDER.findall(text)) == wanted, entry.msgid
            edges = [(part[:1] == "\n", part[-1:] == "\n") for part in (entry.msgid, text)]
            assert edges[0] == edges[1], entry.msgid


def test_a_word_of_the_libraries_is_not_in_both_catalogues() -> None:
    ours, libraries = ({key(entry) for entry in polib.pofile(str(path / "django.po"))} for path in CATALOGUES)

    assert ours & libraries == set()


def test_the_catalogue_holds_what_the_source_holds_and_no_more(tmp_path: Path) -> None:
    require(shutil.which("xgettext"), "xgettext")
    source = extracted(tmp_path)
    catalogue = {key(entry) for entry in polib.pofile(str(OURS / "django.po"))}

    assert len(source) > 600
    assert sorted(map(str, source - catalogue)) == [], f"not translated: {UPDATE}"
    assert sorted(map(str, catalogue - source)) == [], f"not used any more: {UPDATE}"
