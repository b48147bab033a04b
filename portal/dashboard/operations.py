"""The operators' page of the feed: how one connection is ended, after a question."""

from __future__ import annotations

import redis
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from gateway.models import Outcome
from incidents import audit
from portal.dashboard import feed
from portal.dashboard.access import OPERATE, viewer_required


@viewer_required
@require_http_methods(["GET", "POST"])
def disconnect(request: HttpRequest, process: str, connection: str) -> HttpResponse:
    """Show whom it is about and ask for a reason; on POST, end the connection and say what came of it."""
    actor = request.user
    if not actor.has_perm(OPERATE) or not isinstance(actor, User):
        raise PermissionDenied
    if request.method == "POST":
        return _end(request, actor, feed.Seen.read(request.POST.get("seen", ""), process, connection))
    view = feed.read_view()
    found = feed.find_connection(view, process, connection)
    if found is None:
        messages.info(request, _missing(view))
        return redirect("feed-operations")
    seen = feed.Seen(process=process, connection=connection, name=found.name, address=found.address)
    context = {
        "title": _("Disconnect a client"),
        "connection": found,
        "reason_max": feed.REASON_MAX,
        "seen": seen.sign(),
    }
    return render(request, "portal/feed_disconnect.html", context)


def _missing(view: feed.FeedView) -> str:
    if not view.reachable:
        return _("Unknown: Redis does not answer")
    if not view.load.processes:
        return _("Waiting for the web processes to report.")
    return _("This connection is gone already.")


def _end(request: HttpRequest, actor: User, seen: feed.Seen) -> HttpResponse:
    try:
        row = feed.disconnect(
            seen=seen,
            reason=request.POST.get("reason", ""),
            may_return=request.POST.get("return") != "no",
            actor=actor,
        )
    except ValueError:
        messages.error(request, _("Give a reason; it is shown to the client and kept."))
        return redirect(request.path)
    except redis.RedisError:
        messages.error(request, _("Redis does not answer; the connection was not ended."))
        return redirect("feed-operations")
    audit.record(
        action="feed.disconnect",
        actor=actor,
        target=f"{row.key_name or row.connection} {row.address}",
        reason=row.reason,
        after={"outcome": str(row.outcome), "may_return": row.may_return},
    )
    if row.outcome == Outcome.DONE:
        messages.success(request, _("The client was disconnected."))
    elif row.outcome == Outcome.GONE:
        messages.info(request, _("This connection is gone already."))
    else:
        messages.warning(request, _("The web process did not answer; look whether the connection is gone."))
    return redirect("feed-operations")
