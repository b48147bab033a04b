"""Print live trades with the package ``kiwoom-client`` from PyPI; nothing of Bonghwa is imported.

    pip install kiwoom-client
    export FEED_URL=http://127.0.0.1:5111 FEED_APP_KEY=... FEED_SECRET_KEY=...
    python -m examples.feed 005930 000660

Ends with status 2 when the key is refused, and on Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from kiwoom_client.auth import KiwoomAuth, KiwoomAuthError
from kiwoom_client.websocket import KiwoomWebSocket, KiwoomWebSocketError

#: Values of a 0B row by Kiwoom's field number.
PRICE, CHANGE_PERCENT, VOLUME = "10", "12", "13"


def arguments() -> argparse.Namespace:
    """Read the command line; the key comes from the environment, where other users cannot see it."""
    parser = argparse.ArgumentParser(prog="examples.feed", description="Print live trades.")
    parser.add_argument("items", nargs="+", help="item codes, for example 005930")
    parser.add_argument("--rows", type=int, default=0, help="stop after this many rows; 0 is never")
    given = parser.parse_args()
    for name in ("FEED_URL", "FEED_APP_KEY", "FEED_SECRET_KEY"):
        if not os.environ.get(name):
            parser.error(f"set {name} in the environment")
    return given


class Printer:
    """Prints trades; ``done`` is set after ``limit`` rows (0 is never)."""

    def __init__(self, limit: int) -> None:
        self.done = asyncio.Event()
        self._left = limit

    def trade(self, row: dict[str, Any]) -> None:
        """Print one 0B row. The sign of a price is its direction, not part of the number."""
        values = row["values"]
        price = abs(int(values[PRICE]))
        print(f"{row['item']}  {price:>10,}  {values[CHANGE_PERCENT]:>7} %  {values[VOLUME]:>14}", flush=True)
        self._left -= 1
        if self._left == 0:
            self.done.set()


def system(frame: dict[str, Any]) -> None:
    """Say when prices are not current."""
    if frame.get("message") != "live":
        print(f"feed: {frame.get('message')} (as of {frame.get('as_of', 'unknown')})", file=sys.stderr)


async def run(items: list[str], rows: int) -> None:
    """Log in, register ``items`` and print until done; the package reconnects by itself."""
    url = os.environ["FEED_URL"].rstrip("/")
    with KiwoomAuth(os.environ["FEED_APP_KEY"], os.environ["FEED_SECRET_KEY"], url) as auth:
        token = await asyncio.to_thread(auth.get_valid_token)
    printer = Printer(rows)
    client = KiwoomWebSocket(token, ws_url=url.replace("http", "ws", 1) + "/ws")
    client.on("0B", printer.trade)
    client.on_trnm("SYSTEM", system)
    await client.connect()
    for item in items:
        await client.subscribe("0B", item)
    listening, enough = asyncio.create_task(client.listen()), asyncio.create_task(printer.done.wait())
    await asyncio.wait([listening, enough], return_when=asyncio.FIRST_COMPLETED)
    await client.disconnect()
    enough.cancel()
    await listening


def main() -> int:
    """Run until Ctrl-C or ``--rows``; returns the exit status."""
    given = arguments()
    try:
        asyncio.run(run(given.items, given.rows))
    except (KiwoomAuthError, KiwoomWebSocketError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
