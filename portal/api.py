"""``/api/v1/``: the dashboard's data as JSON, for signed-in people who may see the portal."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.openapi.views import openapi_view
from ninja.security import SessionAuth

from gateway.api import Problem
from gateway.api import router as feed_router
from gateway.openapi import TOKEN_PATHS
from portal.dashboard.access import VIEW, viewer_required
from portal.incidents_api import router as incidents_router
from portal.overview import checklist_json, gateway_json, incidents_json, services_json
from portal.probes_api import router as probes_router
from portal.schemas import GatewayOut, IncidentOut, ItemOut, ServiceOut


class ViewerAuth(SessionAuth):
    """A session of somebody who may see the portal's pages."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any | None:
        """Return the user, or None for 401."""
        user = request.user
        return user if user.is_authenticated and user.has_perm(VIEW) else None


class Api(NinjaAPI):
    """The API; its description also holds the token endpoints, which are plain views."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Return the OpenAPI document."""
        schema = super().get_openapi_schema(**options)
        schema["paths"] |= TOKEN_PATHS
        return schema


api = Api(title="Bonghwa", version="1", docs_url=None, auth=ViewerAuth(), docs_decorator=viewer_required)
api.add_router("", feed_router)
api.add_router("probes", probes_router)
api.add_router("", incidents_router)


@api.get("/gateway", response={200: list[GatewayOut], 401: Problem})
def gateway(request: HttpRequest) -> list[dict[str, Any]]:
    """State of each upstream connection."""
    return gateway_json()


@api.get("/services", response={200: list[ServiceOut], 401: Problem})
def services(request: HttpRequest) -> list[dict[str, Any]]:
    """Latest reading of each watched service; null is no data."""
    return services_json()


@api.get("/incidents", response={200: list[IncidentOut], 401: Problem})
def incidents(request: HttpRequest) -> list[dict[str, Any]]:
    """The newest incidents."""
    return incidents_json()


@api.get("/checklist", response={200: list[ItemOut], 401: Problem})
def checklist(request: HttpRequest) -> list[dict[str, Any]]:
    """Preventive measures of every incident."""
    return checklist_json()


@viewer_required
def documentation(request: HttpRequest) -> HttpResponse:
    """The API's pages, with their scripts from this server."""
    return openapi_view(request, api)
