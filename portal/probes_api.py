"""``/api/v1/probes/``: where a prober elsewhere fetches what to probe and reports what it saw."""

from __future__ import annotations

from typing import Annotated, Any

import redis
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Field, Router, Schema, Status
from ninja.errors import HttpError
from ninja.security import HttpBearer
from pydantic import AwareDatetime

from gateway.api import Problem
from portal.monitoring import push
from portal.monitoring.models import Endpoint, Prober
from portal.monitoring.probes.base import ProbeReading
from portal.monitoring.push import MAX_RESULTS

#: Bytes of one report.
MAX_BYTES = 256 * 1024

Milliseconds = Annotated[float, Field(ge=0, le=600_000, allow_inf_nan=False)]


class AssignedOut(Schema):
    """One endpoint to probe, in the words of the portal's own probes."""

    endpoint: int
    kind: str
    url: str
    host: str
    timeout_s: float
    interval_s: float
    expected_status: int
    body_contains: str
    expect_frame: bool
    send: str
    min_days: int


class ResultIn(Schema):
    """One probe. ``ok`` is null when it says nothing about the target."""

    endpoint: int = Field(ge=1, lt=2**63)
    at: AwareDatetime
    ok: bool | None
    latency_ms: Milliseconds | None = None
    first_frame_ms: Milliseconds | None = None
    status: int | None = Field(None, ge=100, le=999)
    close_code: int | None = Field(None, ge=1000, le=4999)
    expires_at: AwareDatetime | None = None
    detail: str = Field("", max_length=2000)


class ReportIn(Schema):
    """Results, at most 100."""

    results: list[ResultIn] = Field(min_length=1, max_length=MAX_RESULTS)


class RefusedOut(Schema):
    """A result that was not kept, and why."""

    endpoint: int
    reason: str


class ReportOut(Schema):
    """How many results were kept, and the others."""

    accepted: int
    refused: list[RefusedOut]


class ProberToken(HttpBearer):
    """The token of a prober, as the admin showed it once."""

    def authenticate(self, request: HttpRequest, token: str) -> Prober | None:
        """Return whose token it is; None for 401.

        Raises:
            HttpError: 413 for a body that no report needs, before anybody reads it.
        """
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
            raise HttpError(413, _("A report has at most %(n)d KiB.") % {"n": MAX_BYTES // 1024})
        return push.prober_of(token.strip(), timezone.now())


router = Router(tags=["probes"], auth=ProberToken())
REFUSALS = {401: Problem, 413: Problem, 429: Problem, 503: Problem}


def _prober(request: HttpRequest) -> Prober:
    """Return the caller within its rate.

    Raises:
        HttpError: 429 over the rate, 503 while Redis does not answer.
    """
    prober: Prober = request.auth  # type: ignore[attr-defined] # set by ninja
    try:
        push.check_rate(prober)
    except push.TooMany as error:
        text = _("More than %(n)d requests in a minute; try again in a minute.") % {"n": push.PER_MINUTE}
        raise HttpError(429, text) from error
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("Redis does not answer; send the results again.")) from error
    return prober


@router.get("assigned", response={200: list[AssignedOut], **REFUSALS}, summary="What this prober is to probe")
def assigned(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the enabled endpoints of this prober whose service was not stopped."""
    return [_assignment(one) for one in push.assigned(_prober(request))]


def _assignment(one: Endpoint) -> dict[str, Any]:
    names = set(AssignedOut.model_fields) - {"endpoint"}
    return {"endpoint": one.pk, **{name: getattr(one, name) for name in names}}


@router.post(
    "push",
    response={200: ReportOut, 400: Problem, 422: ReportOut | Problem, **REFUSALS},
    summary="Report results of this prober's endpoints",
)
def report(request: HttpRequest, body: ReportIn) -> Status[dict[str, Any]]:
    """Keep what is new; 422 when nothing could be kept. Sending a result twice changes nothing."""
    prober = _prober(request)
    readings = [(one.endpoint, ProbeReading(**one.model_dump(exclude={"endpoint"}))) for one in body.results]
    accepted, refused = push.accept(prober, readings)
    found = [{"endpoint": one.endpoint, "reason": one.reason} for one in refused]
    return Status(200 if accepted else 422, {"accepted": accepted, "refused": found})
