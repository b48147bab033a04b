"""WebSocket routes of the feed.

They ignore cookies, so no session or Origin middleware belongs around them.
"""

from typing import Any

from django.urls import path

from gateway.consumer import FeedConsumer

# The stubs of Django and channels disagree about a route's callable, hence Any.
feed: Any = FeedConsumer.as_asgi()
websocket_urlpatterns = [
    path("ws", feed),
    path("api/dostk/websocket", feed),
    path("ws/api/dostk/websocket", feed),
]
