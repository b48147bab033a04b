"""Security headers of every answer: what a page may load, who may frame it, what it tells others.

The policies are dictionaries in the form of Django 6's ``SECURE_CSP``, so that they can move there with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse

from incidents.reports.html import STYLE_HASH

Policy = Mapping[str, tuple[str, ...]]

SELF, NONE = "'self'", "'none'"
#: What is no page loads nothing.
NOTHING: Policy = {
    "default-src": (NONE,),
    "base-uri": (NONE,),
    "form-action": (NONE,),
    "frame-ancestors": (NONE,),
}
#: A page of this server: files of its own, nothing inline, nothing evaluated, no other host.
PAGE: Policy = {
    **NOTHING,
    "script-src": (SELF,),
    "style-src": (SELF,),
    "img-src": (SELF, "data:"),
    "font-src": (SELF,),
    "connect-src": (SELF,),
    "form-action": (SELF,),
}
#: The shell's Alpine evaluates the expressions in its templates' attributes, and writes style attributes.
SHELL: Policy = {
    **PAGE,
    "script-src": (SELF, "'unsafe-eval'"),
    "style-src-attr": ("'unsafe-inline'",),
}
#: A printed report is one file: its own style, known by its hash, and nothing else.
REPORT: Policy = {**NOTHING, "style-src": (STYLE_HASH,)}
#: Names of URLs whose pages are not in the shell; what they answer with an error is.
POLICIES: Mapping[str, Policy] = {
    "status": PAGE,
    "feed-docs": PAGE,
    "api-docs": PAGE,
    "report-print": REPORT,
    "report-export": REPORT,
}
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope"),
        *("magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb"),
    )
)


def written(policy: Policy) -> str:
    """Return ``policy`` as the value of its header."""
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in policy.items())


#: Headers of answers that no middleware sees.
BARE = {"Content-Security-Policy": written(NOTHING), "X-Content-Type-Options": "nosniff"}


class HeadersMiddleware:
    """Adds the headers, also to what other middleware answers itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request`` with the policy of its page."""
        response = self.get_response(request)
        policy = NOTHING
        if response.get("Content-Type", "").startswith("text/html"):
            match = request.resolver_match if response.status_code == 200 else None
            policy = POLICIES.get(match.view_name if match else "", SHELL)
        response.headers.setdefault("Content-Security-Policy", written(policy))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response
