"""Run by the system's Python before the virtual environment exists: tells in one line what is missing.

Written so that an old interpreter can read it far enough to be told that it is too old.
"""

import sys

NEEDED = (3, 11)
#: Module, and the Debian package that brings it.
MODULES = (
    ("sqlite3", "libsqlite3-0"),
    ("ssl", "libssl3"),
    ("venv", "python3-venv"),
    ("ensurepip", "python3-venv"),
)


def complaint(version, importable):  # type: ignore[no-untyped-def] # an old Python must be able to read it
    """Return what is missing as one line, or an empty string."""
    if tuple(version[:2]) < NEEDED:
        present = ".".join(map(str, version[:2]))
        return "Python 3.11 or newer is needed, this is " + present + "; install it or set PYTHON."
    for module, package in MODULES:
        if not importable(module):
            return "Python's module " + module + " is missing; install it, on Debian: apt install " + package
    return ""


def importable(module):  # type: ignore[no-untyped-def] # the same
    """Whether ``module`` can be imported."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    found = complaint(sys.version_info, importable)  # type: ignore[no-untyped-call] # the same
    if found:
        sys.exit("bonghwa: " + found)
