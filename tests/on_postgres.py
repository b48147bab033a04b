"""``python -m tests.on_postgres [pytest's options]``: the tests that use Django's database, on PostgreSQL.

A private server is started and stopped. Folders whose tests start whole products are left out, since those
bring their own database (a deployment of ``compose.yaml``, the fault suite and the proofs run on PostgreSQL),
and so is what is timed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.servers import postgres_server

ROOT = Path(__file__).resolve().parent.parent
USES_DATABASE = re.compile(r"django_db|transactional_db|live_server|\bdb\b")
#: Folders whose tests start products of their own.
PRODUCTS = ("bench", "e2e", "proof")
LEFT_OUT = "not timed and not fleet"


def modules() -> list[str]:
    """Return the test modules that use Django's database."""
    paths = (path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("test_*.py")))
    return [
        str(path)
        for path in paths
        if path.parts[1] not in PRODUCTS and USES_DATABASE.search((ROOT / path).read_text())
    ]


def main(options: list[str]) -> int:
    """Run them; modules named in ``options`` are run instead of all."""
    named = [option for option in options if option.startswith("tests/")]
    chosen = [] if named else modules()
    with postgres_server() as port:
        url = f"postgres://postgres@127.0.0.1:{port}/postgres"
        command = [sys.executable, "-m", "pytest", "-m", LEFT_OUT, *options, *chosen]
        environment = os.environ | {"DATABASE_URL": url}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 - pytest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
