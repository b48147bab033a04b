"""HTTP routes of the feed; mounted at the root, because Kiwoom's clients expect ``/oauth2/`` there."""

from django.urls import path

from gateway import feed_docs, views

urlpatterns = [
    path("oauth2/token", views.token, name="oauth2-token"),
    path("oauth2/revoke", views.revoke, name="oauth2-revoke"),
    path("feed/", views.feed, name="feed"),
    path("docs/feed/", feed_docs.page, name="feed-docs"),
]
