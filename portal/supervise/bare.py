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


def complaint(version, importable):
    """Return what is missing as one line, or an empty string."""
    if tuple(version[:2]) < NEEDED:
        return "Python %d.%d or newer is needed, this is %d.%d; install it or set PYTHON=." % (
            NEEDED + tuple(version[:2])
        )
    for module, package in MODULES:
        if not importable(module):
            return "Python's module %s is missing; install it, on Debian with: apt install %s" % (
                module,
                package,
            )
    return ""


def importable(module):
    """Whether ``module`` can be imported."""
    try:
        __import__(module)
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    found = complaint(sys.version_info, importable)
    if found:
        sys.exit("bonghwa: " + found)
