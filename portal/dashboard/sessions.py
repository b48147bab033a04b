"""When a sign-in ends: ``SESSION_IDLE`` s after the last request, ``SESSION_COOKIE_AGE`` s after it began.

Live updates are no request of a person's: a screen that only shows the dashboard counts as idle.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse

#: Keys of the session: unix seconds of the sign-in and of the last request.
BEGAN, SEEN = "began", "seen"
#: Seconds for which requests share one note of the last one, since each note is a write.
PRECISION = 60.0


def begin(request: HttpRequest, **_signal: Any) -> None:
    """Note the sign-in; receives Django's ``user_logged_in``."""
    request.session[BEGAN] = request.session[SEEN] = time.time()


def over(session: SessionBase, now: float) -> bool:
    """Whether the sign-in of ``session`` ended by ``now`` (unix seconds); one of unknown age did."""
    began, seen = session.get(BEGAN), session.get(SEEN)
    if not isinstance(began, int | float) or not isinstance(seen, int | float):
        return True
    return not (now - began < settings.SESSION_COOKIE_AGE and now - seen < settings.SESSION_IDLE + PRECISION)


def stored(key: str | None) -> SessionBase | None:
    """Return the session ``key`` as it is stored now, ``None`` when there is none or its sign-in ended."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not key or not store().exists(key):
        return None
    session: SessionBase = store(session_key=key)
    return None if over(session, time.time()) else session


class SessionMiddleware:
    """Signs out whose time is over. After Django's authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request``, as nobody's when the sign-in is over."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            now = time.time()
            if over(request.session, now):
                logout(request)
            elif now - request.session[SEEN] >= PRECISION:
                request.session[SEEN] = now
        return self.get_response(request)
