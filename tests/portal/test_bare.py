"""What the system's Python is told before there is a virtual environment."""

from __future__ import annotations

from portal.supervise.bare import MODULES, complaint, importable


def test_an_old_python_is_told_in_one_line() -> None:
    text = complaint((3, 9, 2), lambda _module: True)

    assert text.startswith("Python 3.11 or newer is needed, this is 3.9")
    assert "\n" not in text


def test_each_missing_module_names_the_package_that_brings_it() -> None:
    for module, package in MODULES:
        text = complaint((3, 11), lambda name, missing=module: name != missing)

        assert module in text
        assert package in text
        assert "\n" not in text


def test_this_python_is_good_enough() -> None:
    assert complaint((3, 11), importable) == ""
