"""What is answered when a view fails: 503 while the database does not answer, otherwise Django's 500."""

from __future__ import annotations

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views import defaults

logger = logging.getLogger(__name__)
#: Seconds after which a client may ask again; a restart of PostgreSQL takes about as long.
RETRY_AFTER_S = 5


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer ``request``, whose view raised the exception that is being handled; for ``handler500``."""
    error = sys.exc_info()[1]
    # A lost connection, one that the pool could not get, a statement or a lock that took too long.
    if not isinstance(error, OperationalError | InterfaceError):
        return defaults.server_error(request)
    logger.error("503 %s %s: %s", request.method, request.path, str(error).partition("\n")[0])
    answer: HttpResponse
    if request.path.startswith("/api/"):
        answer = JsonResponse(
            {"detail": _("The database does not answer. Try again in a moment.")}, status=503
        )
    else:
        answer = HttpResponse(render_to_string("503.html"), status=503)
    answer["Retry-After"] = str(RETRY_AFTER_S)
    answer["Cache-Control"] = "no-store"
    # Django would add the whole stack for every request of the outage.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer
