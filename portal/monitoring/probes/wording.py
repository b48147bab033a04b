"""A probe's result in the reader's language.

Probes, also those elsewhere, tell it in English, and so it is stored; only here is it translated, from the
sentences that the probes of this folder make. What a target says in its own words stays as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: Sentences nest: a refusal holds its reason. Nothing that a probe says nests deeper.
DEPTH = 3

_NUMBER = r"-?[\d.]+"
#: What a sentence looks like, its words, and which of its parts are sentences themselves.
_SENTENCES: tuple[tuple[str, StrPromise, tuple[str, ...]], ...] = (
    (rf"timeout after (?P<s>{_NUMBER}) s", _("timeout after %(s)s s"), ()),
    (
        rf"HTTP (?P<status>\d+), body not complete after (?P<s>{_NUMBER}) s",
        _("HTTP %(status)s, body not complete after %(s)s s"),
        (),
    ),
    (r"HTTP (?P<status>\d+), redirects to (?P<where>.*)", _("HTTP %(status)s, redirects to %(where)s"), ()),
    (
        r"HTTP (?P<status>\d+), expected (?P<expected>\d+): (?P<body>.*)",
        _("HTTP %(status)s, expected %(expected)s: %(body)s"),
        (),
    ),
    (
        r"HTTP (?P<status>\d+), but the body lacks (?P<text>.*)",
        _("HTTP %(status)s, but the body lacks %(text)s"),
        (),
    ),
    (
        r"HTTP (?P<status>\d+), but the first (?P<kib>\d+) KiB of the body lacks (?P<text>.*)",
        _("HTTP %(status)s, but the first %(kib)s KiB of the body lack %(text)s"),
        (),
    ),
    (r"refused: (?P<why>.*)", _("not probed: %(why)s"), ("why",)),
    (
        r"(?P<address>\S+) is a metadata address; only an entry of its own in PROBE_ALLOW allows it",
        _("%(address)s is a metadata address; only an entry of its own in PROBE_ALLOW allows it"),
        (),
    ),
    (
        r"(?P<address>\S+) is not a public address; list it in PROBE_ALLOW to probe it",
        _("%(address)s is not a public address; list it in PROBE_ALLOW to probe it"),
        (),
    ),
    (r"(?P<host>\S+) has no address", _("%(host)s has no address"), ()),
    (
        rf"(?P<host>\S+) was not resolved within (?P<s>{_NUMBER}) s",
        _("%(host)s was not resolved within %(s)s s"),
        (),
    ),
    (r"(?P<host>\S+) cannot be resolved: (?P<why>.*)", _("%(host)s cannot be resolved: %(why)s"), ("why",)),
    (
        r"certificate not trusted: (?P<why>.*) \(expired on (?P<end>[^()]*)\)",
        _("certificate not trusted: %(why)s (expired on %(end)s)"),
        (),
    ),
    (
        r"certificate not trusted: (?P<why>.*) \(valid until (?P<end>[^()]*)\)",
        _("certificate not trusted: %(why)s (valid until %(end)s)"),
        (),
    ),
    (r"certificate not trusted: (?P<why>.*)", _("certificate not trusted: %(why)s"), ()),
    (r"the certificate cannot be read: (?P<why>.*)", _("the certificate cannot be read: %(why)s"), ()),
    (
        rf"certificate ends in (?P<days>{_NUMBER}) days, on (?P<end>[^;]*);"
        rf" at least (?P<least>{_NUMBER}) days are expected",
        _("certificate ends in %(days)s days, on %(end)s; at least %(least)s days are expected"),
        (),
    ),
    (
        rf"certificate valid for (?P<days>{_NUMBER}) days, until (?P<end>.*)",
        _("certificate valid for %(days)s days, until %(end)s"),
        (),
    ),
    (rf"no TLS handshake within (?P<s>{_NUMBER}) s", _("no TLS handshake within %(s)s s"), ()),
    (r"no TLS handshake: (?P<why>.*)", _("no TLS handshake: %(why)s"), ("why",)),
    (rf"no handshake within (?P<s>{_NUMBER}) s", _("no handshake within %(s)s s"), ()),
    (
        r"handshake refused with HTTP (?P<status>\d+), redirects to (?P<where>.*)",
        _("handshake refused with HTTP %(status)s, redirects to %(where)s"),
        (),
    ),
    (r"handshake refused with HTTP (?P<status>\d+)", _("handshake refused with HTTP %(status)s"), ()),
    (
        rf"no frame within (?P<s>{_NUMBER}) s of the handshake",
        _("no frame within %(s)s s of the handshake"),
        (),
    ),
    (r"handshake only, no frame expected", _("handshake only, no frame expected"), ()),
    (rf"first frame after (?P<ms>{_NUMBER}) ms", _("first frame after %(ms)s ms"), ()),
    (r"closed before the first frame: (?P<how>.*)", _("closed before the first frame: %(how)s"), ("how",)),
    (r"closed: (?P<how>.*)", _("closed: %(how)s"), ("how",)),
    (r"connection lost without a close frame", _("connection lost without a close frame"), ()),
    (r"code (?P<code>\d+)(?P<reason>.*)", _("code %(code)s%(reason)s"), ()),
    (rf"no connection within (?P<s>{_NUMBER}) s", _("no connection within %(s)s s"), ()),
    (r"connected to (?P<peer>\S+)", _("connected to %(peer)s"), ()),
    (r"prober error", _("prober error"), ()),
    (
        r"this prober's own network does not answer; last result: (?P<last>.*)",
        _("this prober's own network does not answer; last result: %(last)s"),
        ("last",),
    ),
    # The system's and the client's words for what happens most.
    (
        r"Server disconnected without sending a response\.",
        _("the server closed the connection without an answer"),
        (),
    ),
    (r"(?:\[Errno \d+\] )?Connection refused", _("connection refused"), ()),
    (r"(?:\[Errno \d+\] )?Connection reset by peer", _("connection reset by the other side"), ()),
    (r"(?:\[Errno \d+\] )?No route to host", _("no route to the host"), ()),
    (r"(?:\[Errno \d+\] )?Network is unreachable", _("the network cannot be reached"), ()),
)
_COMPILED = tuple((re.compile(shape, re.DOTALL), words, nested) for shape, words, nested in _SENTENCES)


def in_words(detail: str, depth: int = DEPTH) -> str:
    """Return a stored result in the active language; text that no probe of ours made stays as it is."""
    for shape, words, nested in _COMPILED if depth else ():
        if (found := shape.fullmatch(detail)) is None:
            continue
        parts = found.groupdict()
        return str(words) % (parts | {name: in_words(parts[name], depth - 1) for name in nested})
    return detail
