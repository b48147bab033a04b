"""People of every role, and what an answer means to who asked."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from tests.dashboard.matrix import ANYBODY, ROLES

_VERDICTS = {401: "sign in", 403: "forbidden", 405: "no such method"}


def people() -> list[User | None]:
    """One of each role, all of them staff; nobody first."""
    made: list[User | None] = [None]
    for role in ROLES[1:]:
        user = User.objects.create_user(role.replace(" ", "-"), is_staff=True)
        if role != "no role":
            user.groups.add(Group.objects.get(name=role))
        made.append(user)
    return made


def client_of(user: User | None, **options: Any) -> Client:
    """Return a browser in which ``user`` is signed in."""
    client = Client(**options)
    if user is not None:
        client.force_login(user)
    return client


def verdict(answer: Any) -> str:
    """Say what an answer means; ``answered`` may be that there is no such row, or that a form is wrong."""
    if answer.status_code == 302 and re.match(r"/(admin/)?login/", answer["Location"]):
        return "sign in"
    return _VERDICTS.get(answer.status_code, "answered")


def expected(level: int | None, role: int) -> str:
    """Return the verdict that a role has to get where ``level`` is the first that is answered."""
    if role == ANYBODY and level != ANYBODY:
        return "sign in"
    if level is None:
        return "no such method"
    return "answered" if role >= level else "forbidden"


__all__ = ["client_of", "expected", "people", "verdict"]
