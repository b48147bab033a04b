"""WebSocket frames as a client that means harm sends them, and those of a server read back. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame; the defaults are a good client's. ``length`` lies about the payload's when it is given."""

    payload: bytes
    opcode: int = TEXT
    final: bool = True
    reserved: int = 0
    masked: bool = True
    length: int | None = None
    wide: bool = False

    def encode(self) -> bytes:
        """Return the bytes on the wire; the mask is zeros, so that the payload stays readable."""
        length = len(self.payload) if self.length is None else self.length
        head = bytes([self.final << 7 | self.reserved << 4 | self.opcode])
        mask = 0x80 if self.masked else 0
        if self.wide or length > 0xFFFF:
            size = bytes([mask | 127]) + length.to_bytes(8, "big")
        elif length > 125:
            size = bytes([mask | 126]) + length.to_bytes(2, "big")
        else:
            size = bytes([mask | length])
        return head + size + (b"\0\0\0\0" if self.masked else b"") + self.payload


def text(value: object) -> bytes:
    """Return a good client's frame of JSON; what UTF-8 cannot hold is escaped."""
    return Frame(payload=json.dumps(value).encode()).encode()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a server sent after its handshake: text messages, and the code of its close if there was one."""

    messages: tuple[str, ...]
    close: int | None
    reason: str


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and payload of each frame of a server; a last one that was cut off is left out.

    Raises:
        AssertionError: a frame that no server may send: masked, fragmented or with reserved bits.
    """
    at = 0
    while len(data) >= at + 2:
        head, length = data[at], data[at + 1]
        assert head & 0xF0 == 0x80, f"fragmented or reserved: {data[at : at + 20]!r}"
        assert length < 128, "a server masks nothing"
        size = {126: 2, 127: 8}.get(length, 0)
        begin = at + 2 + size
        if size:
            length = int.from_bytes(data[at + 2 : begin], "big")
        if len(data) < begin + length:
            return
        yield head & 0xF, data[begin : begin + length]
        at = begin + length


def heard(data: bytes) -> Heard:
    """Read everything that a server sent.

    Raises:
        AssertionError: something follows the close, or is neither text nor control.
    """
    messages: list[str] = []
    close, reason, closed = None, "", False
    for opcode, payload in split(data):
        assert not closed, "frames after the close"
        if opcode == CLOSE:
            closed = True
            close = int.from_bytes(payload[:2], "big") if payload else None
            reason = payload[2:].decode()
        elif opcode == TEXT:
            messages.append(payload.decode())
        else:
            assert opcode in (PING, PING + 1), f"opcode {opcode}"
    return Heard(tuple(messages), close, reason)
