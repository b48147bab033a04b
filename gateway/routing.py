"""WebSocket routes of the feed. They ignore cookies, so no session or Origin middleware belongs around them."""

from django.urls import path

from gateway.consumer import FeedConsumer

websocket_urlpatterns = [
    path("ws", FeedConsumer.as_asgi()),
    path("api/dostk/websocket", FeedConsumer.as_asgi()),
    path("ws/api/dostk/websocket", FeedConsumer.as_asgi()),
]
