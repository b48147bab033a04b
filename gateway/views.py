"""HTTP of the feed: Kiwoom's token endpoints, and the page with live prices."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
import redis
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET

from gateway import auth, feed_page, keys
from gateway.feed_store import sync_client
from gateway.limits import client_address
from gateway.models import FeedKey

#: Largest request body of the token endpoints, in bytes.
BODY_MAX = 4096
#: Failed and total token requests of one address in a minute, and those with a key's right secret.
FAILURES_PER_MINUTE, REQUESTS_PER_MINUTE, REQUESTS_PER_KEY = 10, 120, 120


class OAuthError(Exception):
    """A token request that is refused; told as Kiwoom does, in the body."""

    def __init__(self, code: int, message: str, status: int = 200, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after

    def response(self) -> HttpResponse:
        """Return Kiwoom's error body."""
        answer = JsonResponse({"return_code": self.code, "return_msg": str(self)}, status=self.status)
        if self.retry_after is not None:
            answer["Retry-After"] = str(self.retry_after)
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            answer["Allow"] = "POST"
        return answer


@csrf_exempt
@sensitive_variables("body")
def token(request: HttpRequest) -> HttpResponse:
    """Issue a token for a feed key; asked again, the same one comes back until it nears its end."""
    try:
        body = _body(request)
        if body.get("grant_type") != "client_credentials":
            raise OAuthError(2, _("grant_type must be client_credentials.") + "[8011]")
        key = _authenticate(request, body)
        issued = auth.issue(sync_client(), key, settings.GATEWAY_FEED.token_lifetime)
    except OAuthError as error:
        return error.response()
    except (redis.RedisError, DatabaseError, OSError):
        return _unavailable()
    return JsonResponse(
        {
            "expires_dt": auth.expires_dt(issued),
            "token_type": "bearer",
            "token": issued.value,
            "return_code": 0,
            "return_msg": _("Done."),
        }
    )


@csrf_exempt
@sensitive_variables("body")
def revoke(request: HttpRequest) -> HttpResponse:
    """Forget a token and end its connections."""
    try:
        body = _body(request)
        key = _authenticate(request, body)
        value = body.get("token")
        if not isinstance(value, str) or not value:
            raise OAuthError(2, _("The required field token is missing.") + "[1511]")
        if not auth.revoke_token(sync_client(), key, value):
            raise OAuthError(3, _("The token is not valid.") + "[8015]")
    except OAuthError as error:
        return error.response()
    except (redis.RedisError, DatabaseError, OSError):
        return _unavailable()
    return JsonResponse({"return_code": 0, "return_msg": _("Done.")})


@login_required
@require_GET
def feed(request: HttpRequest) -> HttpResponse:
    """Show live prices; the page itself is an ordinary client of ``/ws``."""
    context = {
        "title": _("Feed"),
        "config": {
            "ticketUrl": "/api/v1/feed/tickets",
            "wsPath": "/ws",
            "symbols": feed_page.symbols(),
            "watch": feed_page.DEFAULT_WATCH,
            "limit": settings.GATEWAY_FEED.max_topics,
            "loginUrl": f"{reverse(settings.LOGIN_URL)}?next={request.path}",
            "text": feed_page.texts(),
        },
    }
    return render(request, "gateway/feed.html", context)


def _body(request: HttpRequest) -> dict[str, Any]:
    if request.method != "POST":
        raise OAuthError(2, _("Use POST.") + "[1504]", status=405)
    raw = request.read(BODY_MAX + 1)
    if len(raw) > BODY_MAX:
        raise OAuthError(2, _("The request body is too long.") + "[1517]", status=413)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise OAuthError(2, _("The request body is not JSON.") + "[1512]", status=400) from error
    if not isinstance(body, dict):
        raise OAuthError(2, _("The request body is not a JSON object.") + "[1512]", status=400)
    return body


def _authenticate(request: HttpRequest, body: dict[str, Any]) -> FeedKey:
    app_key, secret = body.get("appkey"), body.get("secretkey")
    if not isinstance(app_key, str) or not isinstance(secret, str) or not app_key or not secret:
        raise OAuthError(2, _("The required fields appkey and secretkey are missing.") + "[1511]")
    address = client_address(
        request.META.get("REMOTE_ADDR") or "",
        request.headers.get("X-Forwarded-For", ""),
        settings.TRUSTED_PROXIES,
    )
    failures = keys.COUNTER.format(what="auth-failures", who=address)
    requests = keys.COUNTER.format(what="auth-requests", who=address)
    client = sync_client()
    if (
        _count(client, requests) > REQUESTS_PER_MINUTE
        or int(client.get(failures) or 0) >= FAILURES_PER_MINUTE
    ):
        raise _too_many()
    try:
        # PostgreSQL refuses a NUL in a text; no key holds one.
        key = auth.authenticate(app_key.replace("\0", ""), secret)
    except auth.BadCredentials as error:
        _count(client, failures)
        raise OAuthError(3, _("Authentication failed.") + str(error)) from error
    # Only requests with the right secret count against a key: guesses by others must not lock its owner out.
    if _count(client, keys.COUNTER.format(what="key-requests", who=key.pk)) > REQUESTS_PER_KEY:
        raise _too_many()
    return key


def _too_many() -> OAuthError:
    return OAuthError(5, _("Too many requests; try again in a minute.") + "[1700]", 429, retry_after=60)


def _count(client: redis.Redis, name: str) -> int:
    with client.pipeline() as pipe:
        pipe.set(name, 0, ex=60, nx=True)
        pipe.incr(name)
        count: int = pipe.execute()[1]
    return count


def _unavailable() -> HttpResponse:
    message = _("Tokens cannot be issued now; try again.") + "[1999]"
    return OAuthError(1, message, status=503, retry_after=5).response()
