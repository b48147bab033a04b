"""Refuses text that no database keeps: NUL characters and halves of surrogate pairs.

PostgreSQL refuses both and SQLite the second, wherever such a text is looked up or written. They come in
addresses, cookies and forms; a charset in ``Content-Type`` can decode to lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(texts: Iterable[str]) -> bool:
    """Whether every text can be kept."""
    return not any(map(_UNSTORABLE.search, texts))


class StorableTextMiddleware(MiddlewareMixin):
    """Answer 400 before such a text reaches a view, or the session's row. Bodies that are no forms pass."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Look at what the address and the cookies say."""
        texts = (request.path_info, *request.COOKIES.keys(), *request.COOKIES.values(), *_texts(request.GET))
        return None if is_storable(texts) else _refuse()

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Look at a form, which the check of its token has read by now; views without that read no form."""
        if (
            request.method != "POST"
            or request.content_type not in _FORMS
            or getattr(view, "csrf_exempt", False)
        ):
            return None
        names = [file.name or "" for _name, files in request.FILES.lists() for file in files]
        return None if is_storable((*_texts(request.POST), *names)) else _refuse()


def _texts(given: QueryDict) -> Iterator[str]:
    for name, values in given.lists():
        yield name
        yield from values


def _refuse() -> HttpResponse:
    text = _(
        "The request holds a character that cannot be stored (NUL or half a surrogate pair). Remove it and "
        "send the request again."
    )
    return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
