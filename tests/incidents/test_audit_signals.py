"""What people do at the door and in the admin is audited."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse

from incidents import audit, audit_signals
from incidents.models import AuditEntry, Incident
from tests.incidents.conftest import fire

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client):
    user = User.objects.create_superuser("root", password="correct horse battery")
    client.force_login(user)
    return user


def newest(**which):
    """The newest entry."""
    return AuditEntry.objects.filter(**which).order_by("-seq")[0]


def actions():
    return list(AuditEntry.objects.order_by("seq").values_list("action", "actor_name", "target"))


def test_coming_and_going_is_recorded(client):
    User.objects.create_user("alice", password="correct horse battery", is_staff=True)
    client.post("/login/", {"username": "alice", "password": "wrong"})
    client.post("/login/", {"username": "alice", "password": "correct horse battery"})
    client.post(reverse("admin:logout"))
    assert actions() == [
        ("auth.sign_in_failed", "", "alice"),
        ("auth.sign_in", "alice", "alice"),
        ("auth.sign_out", "alice", "alice"),
    ]
    assert newest(action="auth.sign_in").after == {"address": "127.0.0.1"}
    assert "wrong" not in str(AuditEntry.objects.values())


def test_somebody_who_guesses_does_not_fill_the_table(client, monkeypatch):
    monkeypatch.setattr(audit_signals, "FAILED_PER_MINUTE", 2)
    for number in range(4):
        client.post("/login/", {"username": f"user{number}", "password": "wrong"})
    assert AuditEntry.objects.count() == 2
    monkeypatch.setattr(audit_signals, "FAILED_PER_MINUTE", 3)
    client.post("/login/", {"username": "user9", "password": "wrong"})
    assert newest().after["left_out"] == 2


def test_changes_in_the_admin_are_recorded_with_their_values(client, root):
    fire()
    incident = Incident.objects.get()
    url = reverse("admin:incidents_incident_change", args=[incident.pk])
    form = client.get(url).context["adminform"].form
    given = {name: form.initial.get(name) or "" for name in form.fields} | {"title": "새 제목"}
    for inline in client.get(url).context["inline_admin_formsets"]:
        prefix = inline.formset.prefix
        given |= {f"{prefix}-{part}_FORMS": "0" for part in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    answer = client.post(url, given)
    assert answer.status_code == 302, answer.context["errors"]
    entry = newest(action="admin.change")
    assert (entry.actor_name, entry.target) == ("root", f"incident {incident.pk}: INC-1 새 제목")
    assert entry.after["log"][0]["changed"]["fields"]


def test_rows_deleted_together_are_recorded_one_by_one(client, root):
    doomed = [Group.objects.create(name=name) for name in ("one", "two")]
    for chosen in (doomed, [Group.objects.create(name="three")]):
        client.post(
            reverse("admin:auth_group_changelist"),
            {"action": "delete_selected", "post": "yes", "_selected_action": [row.pk for row in chosen]},
        )
    assert [target.partition(": ")[2] for action, _who, target in actions() if action == "admin.delete"] == [
        "one",
        "two",
        "three",
    ]


def test_the_admin_shows_the_audit_and_offers_no_change(client, root):
    audit.record(action="a.b", actor=root, target="<b>x</b>", before={"n": 1})
    listed = client.get(reverse("admin:incidents_auditentry_changelist"), {"q": "a.b"})
    assert "&lt;b&gt;x&lt;/b&gt;" in listed.text
    shown = client.get(reverse("admin:incidents_auditentry_change", args=[newest().pk]))
    assert "&quot;n&quot;: 1" in shown.text
    assert 'name="_save"' not in shown.text
    assert client.get(reverse("admin:incidents_auditentry_add")).status_code == 403


def test_who_may_see_it():
    for name, may in (("viewer", False), ("operator", True), ("editor", True), ("admin", True)):
        user = User.objects.create(username=name)
        user.groups.add(Group.objects.get(name=name))
        assert user.has_perm("incidents.view_auditentry") is may, name


def test_what_an_alert_opens_is_recorded_once_it_is_so(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        fire()
        assert actions() == []
    assert ("incident.open", "", "INC-1") in actions()
