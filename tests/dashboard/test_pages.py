"""Who may see and do what, and in which language."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import orjson
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from gateway import keys
from incidents.models import Incident, State, TimelineEvent, TimelineKind
from tests.dashboard import world

pytestmark = pytest.mark.django_db
PAGES = (
    *("/", "/services/", "/services/{pk}/", "/incidents/", "/incidents/7/", "/checklist/", "/feed/"),
    *("/feed/operations/", "/posture/", "/alerts/", "/rules/", "/messages/", "/monitors/", "/watch/"),
    *("/drills/", "/incidents/7/report/", "/incidents/7/report/versions/"),
)
HANGUL = re.compile(r"[ㄱ-ㆎ가-힣]+")


@pytest.fixture
def pages(redis_client: redis.Redis) -> list[str]:
    now = timezone.now()
    created = world.seed_services(now)[0]
    world.incident(now)
    world.publish(redis_client)
    return [path.format(pk=created.pk) for path in PAGES]


def test_a_stranger_is_sent_to_sign_in(client: Client, pages: list[str]) -> None:
    for path in pages:
        answer = client.get(path)
        assert answer.status_code == 302, path
        assert answer.headers["Location"].startswith("/login/"), path


def test_somebody_without_a_role_gets_403(client: Client, pages: list[str]) -> None:
    client.force_login(User.objects.create_user("bob"))

    for path in pages:
        if path != "/feed/":
            assert client.get(path).status_code == 403, path


def test_a_viewer_sees_every_page_and_no_button(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("alice", "viewer"))

    for path in pages:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert b'name="verb"' not in answer.content, path


def test_a_missing_row_is_404(client: Client, redis_client: redis.Redis) -> None:
    client.force_login(world.person("alice", "viewer"))

    for path in ("/services/999/", "/incidents/999/", "/incidents/99999999999/"):
        assert client.get(path).status_code == 404, path


def test_people_who_are_not_staff_can_sign_in(client: Client, redis_client: redis.Redis) -> None:
    world.person("alice", "viewer")

    answer = client.post("/login/?next=/incidents/", {"username": "alice", "password": "correct horse"})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/incidents/")


@pytest.mark.parametrize("role", ["viewer", "none"])
def test_only_operators_may_act(client: Client, pages: list[str], role: str) -> None:
    user = world.person("alice", "viewer") if role == "viewer" else User.objects.create_user("bob")
    client.force_login(user)

    for path, verb in (("/incidents/7/act/", "acknowledge"), ("/gateway/key-1/", "resume")):
        assert client.post(path, {"verb": verb, "reason": "x"}).status_code == 403, path
    assert Incident.objects.get(number=7).state == State.DETECTED


def test_an_operator_takes_an_incident_and_leaves_a_note(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("carol", "operator"))

    assert client.get("/incidents/7/act/").status_code == 405
    client.post("/incidents/7/act/", {"verb": "acknowledge", "reason": "looking"})
    client.post("/incidents/7/act/", {"verb": "note", "reason": "proxy is fine <b>"})

    assert Incident.objects.get(number=7).state == State.ACKNOWLEDGED
    note = TimelineEvent.objects.get(kind=TimelineKind.NOTE)
    assert note.actor is not None
    assert (note.text, note.actor.get_username()) == ("proxy is fine <b>", "carol")
    page = client.get("/incidents/7/").content.decode()
    assert "proxy is fine &lt;b&gt;" in page


def test_a_refused_move_is_told_on_the_page(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("carol", "operator"))

    answer = client.post("/incidents/7/act/", {"verb": "resolve", "reason": "done"}, follow=True)

    assert answer.status_code == 200
    assert [str(message) for message in answer.context["messages"]]
    assert Incident.objects.get(number=7).state == State.DETECTED


def test_a_gateway_command_needs_a_reason_and_carries_who_asked(
    client: Client, redis_client: redis.Redis
) -> None:
    client.force_login(world.person("carol", "operator"))
    name = keys.COMMANDS.format(slot="key-1")

    client.post("/gateway/key-1/", {"verb": "open_breaker", "reason": "  "})
    client.post("/gateway/key-1/", {"verb": "shell", "reason": "x"})
    client.post("/gateway/key-9/", {"verb": "resume", "reason": "x"})
    assert redis_client.llen(name) == 0

    client.post("/gateway/key-1/", {"verb": "open_breaker", "reason": "Kiwoom maintenance"})
    (raw,) = redis_client.lrange(name, 0, -1)
    sent = orjson.loads(raw)
    assert (sent["verb"], sent["reason"], sent["by"]) == ("open_breaker", "Kiwoom maintenance", "carol")


class Text(HTMLParser):
    """What a page shows: text and the attributes that people read or hear."""

    SHOWN = ("title", "alt", "aria-label", "placeholder", "data-label")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect readable attributes."""
        self._skip += tag in ("script", "style")
        self.parts += [value for name, value in attrs if name in self.SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        """Leave a script."""
        self._skip -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Collect text."""
        if not self._skip:
            self.parts.append(data)


def shown(html: str) -> str:
    parser = Text()
    parser.feed(html)
    return unescape(" ".join(parser.parts))


#: Korean that belongs to data or to the product's name, not to the portal's words.
DATA = ("봉화", "한국어", "무한 재시도", "리소스 제한 설정", "로그 레벨 조정")


def test_english_pages_hold_no_korean_but_data(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("carol", "operator"))
    client.post("/i18n/setlang/", {"language": "en"})

    for path in pages:
        if path in ("/feed/",):
            continue
        text = shown(client.get(path).content.decode())
        for data in DATA:
            text = text.replace(data, "")
        assert HANGUL.findall(text) == [], path


def test_the_language_switch_is_on_every_page_and_returns_to_it(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("carol", "operator"))

    for path in pages:
        text = client.get(path).content.decode()
        assert f'<input type="hidden" name="next" value="{path}">' in text
        answer = client.post("/i18n/setlang/", {"language": "en", "next": path})
        assert answer.headers["Location"] == path


def test_no_page_has_a_script_of_ours_inline(client: Client, pages: list[str]) -> None:
    client.force_login(world.person("alice", "viewer"))

    for path in pages:
        text = client.get(path).content.decode()
        inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", text)
        assert inline == [], path


def test_hostile_text_is_escaped(client: Client, redis_client: redis.Redis) -> None:
    now = timezone.now()
    hostile = "<script>alert(1)</script>"
    created = world.service(hostile, now, health="unhealthy", health_output=hostile, top_template=hostile)
    client.force_login(world.person("alice", "viewer"))

    for path in ("/", "/services/", f"/services/{created.pk}/"):
        text = client.get(path).content.decode()
        assert hostile not in text
        assert "&lt;script&gt;alert(1)" in text


def test_the_public_status_page_tells_no_names(client: Client, pages: list[str]) -> None:
    answer = client.get("/status/")

    assert answer.status_code == 200
    assert b"api-gateway" not in answer.content


def test_the_banner_follows_the_channels(client: Client, redis_client: redis.Redis, settings: object) -> None:
    client.force_login(world.person("alice", "viewer"))
    assert b"notifications_off" in client.get("/").content

    settings.NOTIFY_URLS = ["json://localhost"]  # type: ignore[attr-defined] # pytest-django's fixture
    assert b"notifications_off" not in client.get("/").content


def test_a_rising_log_template_says_so_with_its_usual_rate(client: Client) -> None:
    now = timezone.now()
    broken = world.gateway("api-gateway", now)
    client.force_login(world.person("alice", "viewer"))
    page = f"/services/{broken.pk}/"
    client.cookies["django_language"] = "en"
    assert "Rising" not in client.get(page).content.decode()

    broken.templates.filter(template="WebSocket connection timeout").update(rising_since=now, baseline=12.4)
    shown = client.get(page).content.decode()
    assert shown.count("Rising") == 1
    assert "usually 12 lines/min" in shown
