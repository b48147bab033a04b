"""The audit of dependencies: every pin is exact, and an advisory about one is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.advisories import FILES, ROOT, UNKNOWN, VULNERABLE, ask_checkout, concerns, newest, offline, pins

RANGE = {
    "affected": [{"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.0"}, {"fixed": "2.4"}]}]}]
}


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_to_one_version(name: str) -> None:
    assert len(pins((ROOT / name).read_text())) > 10


def test_a_line_that_pins_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not pinned to one version: django>=5"):
        pins("redis==8.1.0\ndjango>=5\n")


@pytest.mark.parametrize(
    ("version", "found"), [("1.9", False), ("2.0", True), ("2.3.9", True), ("2.4", False), ("10.0", False)]
)
def test_a_range_of_versions_ends_where_it_was_fixed(version: str, found: bool) -> None:
    assert concerns(RANGE, version) is found


def test_listed_versions_count_and_withdrawn_advisories_do_not() -> None:
    listed = {"affected": [{"versions": ["1.1"]}]}
    assert concerns(listed, "1.1")
    assert not concerns(listed, "1.2")
    assert not concerns(listed | {"withdrawn": "2024-01-01"}, "1.1")


def test_a_checkout_with_an_advisory_about_a_pin_fails_the_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = pins((ROOT / "requirements.txt").read_text())["django"]
    folder = tmp_path / "vulns" / "django"
    folder.mkdir(parents=True)
    advisory = {"id": "PYSEC-1", "modified": "2024-10-10T17:35:05Z", "affected": [{"versions": [version]}]}
    (folder / "PYSEC-1.yaml").write_text(yaml.safe_dump(advisory))

    assert ask_checkout(tmp_path) == VULNERABLE
    assert newest(tmp_path).year == 2024
    assert [hit.advisory for hit in offline(tmp_path, {"django": version, "redis": "8.1.0"})] == ["PYSEC-1"]
    assert f"django {version}: PYSEC-1" in capsys.readouterr().out


def test_a_folder_that_is_no_checkout_is_not_clean(tmp_path: Path) -> None:
    assert ask_checkout(tmp_path) == UNKNOWN
