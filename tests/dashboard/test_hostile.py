"""Whatever a container, its labels, its health check or a probed server says stays text, everywhere.

A real container and a real HTTP server attack; they are collected, frozen and drafted as in production.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from incidents.models import Evidence, Incident, Notification
from incidents.reports.export import FORMATS, render, render_page
from incidents.tasks import freeze
from portal.dashboard import contexts
from portal.monitoring import engine, probing, services
from portal.monitoring.collector import sweep
from portal.monitoring.models import Alert, Endpoint, LogTemplate, ProbeKind, Service, ServiceState
from portal.operations import tail
from tests.conditions import wait_until
from tests.dashboard import hostile
from tests.monitoring.labs import DockerLab

pytestmark = [pytest.mark.django_db, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]
WHOLE = {name: payload for name, payload in hostile.PAYLOADS.items() if name != "long"}


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers with the payload that the path names, in its status line, headers and body."""

    def do_GET(self) -> None:
        payload = hostile.PAYLOADS[list(hostile.PAYLOADS)[int(self.path.strip("/").partition("?")[0])]]
        line = payload[:60].replace(b"\n", b" ").replace(b"\r", b" ").decode("latin-1")
        head = f"HTTP/1.0 500 {line}\r\nLocation: javascript:xevil {line}\r\n\r\n"
        with suppress(ConnectionError):  # the probe reads only so much
            self.wfile.write(head.encode("latin-1"))
            self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def liar() -> Iterator[str]:
    """A server that answers every probe with an attack."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _script() -> str:
    """A shell script that writes every payload as a line of its log, the long one from a pipe."""
    lines = b"\n".join(WHOLE.values()) + b"\n"
    encoded = base64.b64encode(lines).decode()
    return (
        f"echo {encoded} | base64 -d; printf 'evillong '; head -c 10000000 /dev/zero | tr '\\0' A; echo;"
        f"while true; do echo {encoded} | base64 -d; sleep 1; done"
    )


def _check() -> list[str]:
    encoded = base64.b64encode(b"\n".join(WHOLE.values())).decode()
    return ["CMD-SHELL", f"echo {encoded} | base64 -d; head -c 100000 /dev/zero | tr '\\0' A; exit 1"]


@pytest.fixture
def attacked(
    docker_host: str, busybox_image: str, liar: str, redis_client: redis.Redis, settings
) -> Iterator[Incident]:
    """An incident about a container that attacks with everything it can write."""
    settings.DOCKER_HOST = docker_host
    settings.NOTIFY_URLS = []
    settings.PROBE_ALLOW = ["loopback"]
    lab = DockerLab(docker_host, busybox_image)
    try:
        second = 1_000_000_000
        labels = {
            f"label.{name}": payload.decode("utf-8", "replace").replace("\x00", "")
            for name, payload in WHOLE.items()
        }
        lab.start(
            _script(),
            labels=labels,
            healthcheck={"test": _check(), "interval": second, "timeout": 5 * second, "retries": 2},
        )
        memory: dict[str, Any] = {}

        def opened() -> Incident | None:
            engine.evaluate(services.record(sweep(lab.runtime(), memory)))
            return Incident.objects.filter(fingerprint__startswith="service:docker:").first()

        found = wait_until(opened, 60, "the failing health check opens an incident", every=1.0)
        assert found is not None
        service = Service.objects.get(name=found.services[0])
        for number, _name in enumerate(hostile.PAYLOADS):
            Endpoint.objects.create(
                service=service, name=f"probe {number}", kind=ProbeKind.HTTP, url=f"{liar}/{number}"
            )
        for number in (0, 3):  # of no service: the attack is the incident's title
            Endpoint.objects.create(name="alone", kind=ProbeKind.HTTP, url=f"{liar}/{number}?alone")
        for _round in range(3):
            rows = list(Endpoint.objects.select_related("service"))
            engine.evaluate(probing.record([(row, probing.probe(row)) for row in rows]))
        assert Incident.objects.filter(title__contains="?alone").count() == 2
        for one in Incident.objects.all():
            freeze(one.pk)
        found.refresh_from_db()
        yield found
    finally:
        lab.close()


def _pages(incident: Incident) -> list[str]:
    service = Service.objects.get(name=incident.services[0])
    return [
        *("/", "/services/", f"/services/{service.pk}/", "/incidents/"),
        *(f"/incidents/{one.number}/" for one in Incident.objects.all()),
        *("/checklist/", "/posture/", "/status/", "/feed/operations/"),
    ]


def _admin_pages() -> Iterator[str]:
    """Every list of the admin and the first rows' own pages."""
    for model, shown in admin.site._registry.items():
        label = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if model._meta.app_label not in ("incidents", "monitoring", "operations"):
            continue
        yield label
        assert isinstance(shown, admin.ModelAdmin)
        for row in model._default_manager.all()[:3]:
            yield f"{label}{row.pk}/change/"


def _walk(client: Client, paths: list[str]) -> dict[str, list[str]]:
    problems = {}
    for path in paths:
        answer = client.get(path, follow=True)
        assert answer.status_code in (200, 403), (path, answer.status_code)
        text = answer.content.decode()
        is_html = answer.headers["Content-Type"].startswith("text/html")
        found = hostile.problems_of_html(text) if is_html else hostile.problems_of_text(text)
        if found:
            problems[path] = found
    return problems


def test_hostile_text_is_stored_bounded_and_stays_text_on_every_page_message_and_export(
    attacked: Incident, client: Client
) -> None:
    _assert_stored_bounded(attacked)
    _assert_tail_is_as_careful(attacked)
    client.force_login(User.objects.create_superuser("root"))

    service = client.get(_pages(attacked)[2]).content.decode()
    assert escape("<x-evil onxevil=1>") in service, "the attack did arrive"
    api = ["/api/v1/services", "/api/v1/incidents", "/api/v1/checklist", "/metrics"]
    assert _walk(client, [*_pages(attacked), *api, *_admin_pages()]) == {}

    problems: dict[str, list[str]] = {}
    for language in ("ko", "en"):
        for page in ("dashboard", "services", f"incident:{attacked.number}"):
            for name, html in (contexts.render_panels(page, language) or {}).items():
                problems[f"panel {page} {name} {language}"] = hostile.problems_of_html(html)
        for one in Incident.objects.all():
            problems |= _exports(one, language)
    for message in Notification.objects.all():
        problems[f"message {message.pk}"] = hostile.problems_of_text(f"{message.subject}\n{message.body}")
    assert {where: found for where, found in problems.items() if found} == {}
    assert Notification.objects.exists()


def _exports(incident: Incident, language: str) -> dict[str, list[str]]:
    judges = {"md": hostile.problems_of_markdown, "html": hostile.problems_of_html}
    found = {}
    for kind in ("summary", "detail"):
        where = f"INC-{incident.number} {kind} {language}"
        found[f"page of {where}"] = hostile.problems_of_html(render_page(incident, kind, language))
        for form in FORMATS:
            text = render(incident, kind, form, language)
            found[f"{form} of {where}"] = judges.get(form, hostile.problems_of_text)(text)
            if form == "json":
                json.loads(text)
    return found


def _assert_stored_bounded(incident: Incident) -> None:
    state = ServiceState.objects.get(service__name=incident.services[0])
    assert 0 < len(state.health_output) <= 2_100
    assert "evilhtml" in state.health_output
    assert all(len(value) <= 300 for value in state.service.labels.values())
    rows = LogTemplate.objects.filter(service=state.service)
    assert 5 <= rows.count() <= 20
    assert all(len(row.template) <= 500 and len(row.sample) <= 500 for row in rows)
    assert any("evilhtml" in row.template for row in rows)
    assert all(len(endpoint.detail) <= 300 for endpoint in Endpoint.objects.all())
    assert Endpoint.objects.filter(detail__contains="evilhtml").exists()
    assert Alert.objects.filter(closed_at=None).exists()
    assert sum(len(bytes(piece.payload)) for piece in Evidence.objects.all()) < 2_000_000
    for row in [
        *Service.objects.all(),
        *ServiceState.objects.all(),
        *rows,
        *Endpoint.objects.all(),
        *Alert.objects.all(),
    ]:
        for value in _texts(row):
            assert not hostile.CONTROL.search(value), (row, value)
            assert hostile.SECRET not in value, (row, value)


def _texts(row: models.Model) -> Iterator[str]:
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(value, dict | list):
            yield json.dumps(value, ensure_ascii=False)
        elif isinstance(value, str):
            yield value


def _assert_tail_is_as_careful(incident: Incident) -> None:
    service = Service.objects.get(name=incident.services[0])
    user = User.objects.create_user("olga")
    opening = tail.open_tail(service, user, at=timezone.now())
    buffer = tail.read(service.pk)
    assert buffer is not None
    assert hostile.problems_of_text("\n".join(buffer.lines)) == []
    assert any("evilhtml <x-evil" in line for line in buffer.lines)
    assert max(map(len, buffer.lines)) <= 2_100
    assert tail.watch(opening.pk, service=service.pk, user=user.pk).lines == buffer.lines
