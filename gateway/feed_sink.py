"""What the hub sends and where a server takes it without ASGI's ``send``. Pure.

A server that can do so announces a sink in ``scope["extensions"]``; under any other server the same frames
go through ``send``, one task wake-up each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

#: Key of ``scope["extensions"]``; its value is ``{"sink": Sink}``.
EXTENSION = "bonghwa.sink"


@dataclass(eq=False, slots=True)
class Frame:
    """One text message, shared by all its receivers. ``payload`` is ASCII JSON that holds ``rows`` rows.

    ``wire`` is the message as a server puts it on the socket, made by the first sink that takes it:
    a server's frames are not masked, so the bytes are the same for every receiver.
    """

    payload: bytes
    rows: int = 0
    wire: bytes | None = field(default=None, repr=False)
    _text: str | None = field(default=None, repr=False)
    #: The newest row of each topic, made once for all receivers that get no more than these.
    newest: dict[str, bytes] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.payload)

    @property
    def text(self) -> str:
        """The message for ASGI's ``send``."""
        if self._text is None:
            self._text = self.payload.decode("ascii")
        return self._text


class Sink(Protocol):
    """One connection's way out. ``on_room`` is called whenever it can take a frame again."""

    on_room: Callable[[], None]

    def offer(self, frame: Frame) -> bool:
        """Take ``frame`` if everything before it has left this process, and return whether it did."""


def sink_of(scope: Mapping[str, Any]) -> Sink | None:
    """Return the connection's sink, or None when the server has none."""
    sink: Sink | None = (scope.get("extensions") or {}).get(EXTENSION, {}).get("sink")
    return sink
