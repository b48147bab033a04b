"""ASGI application: health first, then Django, ``/ws`` without cookies, and the dashboard's own socket."""

import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - after Django's set-up
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after Django's set-up
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402 - after Django's set-up
from django.urls import re_path  # noqa: E402 - after Django's set-up

from gateway.routing import websocket_urlpatterns  # noqa: E402 - after Django's set-up
from portal.dashboard.consumers import LiveConsumer  # noqa: E402 - after Django's set-up
from portal.health import Alive  # noqa: E402 - after Django's set-up
from portal.watchers import start_thread  # noqa: E402 - after Django's set-up


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Close a WebSocket on a path that does not exist, so that a typo is a 403 and not a traceback."""
    await receive()
    await send({"type": "websocket.close", "code": 4404, "reason": "no such path"})


live = AllowedHostsOriginValidator(AuthMiddlewareStack(LiveConsumer.as_asgi()))

# The stubs of Django and channels disagree about a route's callable, hence Any.
route: Any = re_path
routes = [*websocket_urlpatterns, route(r"^live/$", live), route("", refuse)]
application = ProtocolTypeRouter({"http": Alive(django_application), "websocket": URLRouter(routes)})

if settings.WATCHER:
    start_thread()
