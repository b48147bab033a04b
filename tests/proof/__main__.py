"""``python -m tests.proof faults|outages|soak [options]``: one proof on a product of its own."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from importlib import import_module

from docker.errors import DockerException

from tests.proof.feedload import Upstream
from tests.proof.parts import Engine, Postgres, a_database, an_engine_of_our_own, options
from tests.proof.world import Unplayable, a_world

PROOFS = ("faults", "outages", "soak")


def main() -> int:
    """Return 0 when the proof holds, 1 when not, 2 when it cannot be made here, 130 after Ctrl-C."""
    name, *arguments = sys.argv[1:] or ("",)
    if name not in PROOFS:
        print(f"usage: python -m tests.proof {'|'.join(PROOFS)} [options]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as stack:
            parts: tuple[Engine | None, Postgres] | tuple[Upstream] | tuple[()] = ()
            more: dict[str, str] = {}
            if name == "outages":
                own = "engine" in options(arguments).only
                engine = stack.enter_context(an_engine_of_our_own()) if own else None
                parts = engine, stack.enter_context(a_database())
                more = {"DATABASE_URL": parts[1].url} | ({"engine": engine.host} if engine else {})
            if name == "soak":
                parts = (Upstream(),)
                more = dict(parts[0].environment())
            world = stack.enter_context(a_world(**more))
            # Its models can be imported only now that Django knows the product's database.
            proof = import_module(f"tests.proof.{name}")
            code: int = proof.main(world, arguments, *parts)
            return code
    except (Unplayable, DockerException) as error:
        print(f"This cannot be proved here: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped and removed.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
