"""The pages of the admin as a browser sees them: an outage to look at, people with roles, forms to submit."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.urls import reverse

from incidents.reports.drafting import draft_report
from tests.incidents.conftest import after, fire
from tests.incidents.forms import form_of
from tests.incidents.measured import freeze


def drafted_incident():
    """The seed's outage with its evidence and its draft."""
    incident = fire().incident
    freeze(incident)
    draft_report(incident=incident, now=after(20))
    return incident


def signed_in(client, role):
    """Sign in as staff with one role; returns the person."""
    user = User.objects.create_user(role or "nobody", is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return user


def path(model, pk=None, page="change"):
    if pk is None:
        return reverse(f"admin:incidents_{model}_changelist")
    return reverse(f"admin:incidents_{model}_{page}", args=[pk])


def rows(incident):
    """The first row of every model that the admin shows."""
    return {
        "incident": incident,
        "report": incident.report,
        "checklistitem": incident.report.checklist.all()[0],
        "evidence": incident.evidence.all()[0],
        "timelineevent": incident.timeline.all()[0],
        "notification": incident.notifications.all()[0],
    }


def pages(incident):
    """The list, the first row and its history of every model."""
    for model, row in rows(incident).items():
        yield path(model)
        yield path(model, row.pk)
        yield path(model, row.pk, "history")


def submit(client, model, row, button="_continue", **changes):
    """Open the page as a browser, change some fields, press a button."""
    answer = client.get(path(model, row.pk))
    data, buttons = form_of(answer.content.decode(), f"{model}_form")
    unknown = changes.keys() - data.keys()
    assert not unknown, f"{unknown} not among {sorted(data)}"
    assert button in buttons, f"{button} not among {buttons}"
    sent = {**data, **{name: [value] for name, value in changes.items()}, button: ["1"]}
    return client.post(path(model, row.pk), sent, follow=True)


def said(answer):
    return [str(message) for message in answer.context["messages"]]


def version(row, number=0):
    """Address of a row's old version, counted from the first."""
    old = list(row.history.order_by("history_id"))[number]
    model = type(row)._meta.model_name
    return reverse(f"admin:incidents_{model}_simple_history", args=[row.pk, old.history_id])


def old_form(client, address):
    """What the form of an old version sends back, whether or not the page offers to."""
    bound = list(client.get(address).context["adminform"].form)
    data: dict[str, str] = {}
    for field in bound:
        value = field.value()
        parts = field.field.widget.decompress(value) if hasattr(field.field.widget, "decompress") else None
        if isinstance(value, dict):
            data |= {
                f"{field.html_name}.{field.field.widget.verifier}.{key}": one for key, one in value.items()
            }
        elif parts is None:
            data[field.html_name] = "" if value is None else str(value)
        else:
            data |= {f"{field.html_name}_{n}": str(part) for n, part in enumerate(parts)}
    return data
