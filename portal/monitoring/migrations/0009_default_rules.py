"""More default rules. Each is added when absent; a shipped one changes only if nobody edited it."""

from django.db import migrations

#: name: kind, severity, open, close, open after, close after, and what differs from a plain rule.
RULES = {
    "crashed": ("crash", "warning", 1, 1, 1, 1, {"opens_incident": False}),
    "oom-killed": ("oom", "critical", 1, 1, 1, 1, {}),
    "cpu-high": ("cpu", "warning", 80, 70, 1, 6, {"sustain_s": 300, "opens_incident": False}),
    "memory-high": ("memory_limit", "warning", 80, 70, 1, 6, {"sustain_s": 120, "opens_incident": False}),
    "memory-growing": ("memory_slope", "warning", 50, 25, 1, 6, {"sustain_s": 1800}),
    "memory-runs-out": ("memory_left", "warning", 30, 60, 1, 6, {"sustain_s": 600, "ladder": "10=critical"}),
    "log-one-message": ("template_share", "warning", 80, 60, 3, 6, {"opens_incident": False}),
    "log-message-rising": ("template_rising", "warning", 5, 2.5, 3, 6, {"opens_incident": False}),
    "certificate-expiry": ("tls", "warning", 21, 22, 1, 1, {"ladder": "7=critical"}),
    "slow-answer": ("latency", "warning", 5000, 2500, 3, 2, {}),
    "gateway-parked": ("gateway_parked", "critical", 1, 1, 1, 1, {}),
    "gateway-unplaced": ("gateway_unplaced", "warning", 1, 1, 6, 3, {"opens_incident": False}),
    "collector-broken": ("collector", "critical", 1, 1, 1, 1, {"sustain_s": 60}),
}

#: Rules shipped before: what they were shipped as, and what an unedited one becomes.
BEFORE = {
    "health-streak": (
        {"severity": "critical", "open_above": 3, "close_below": 1, "open_after": 1, "close_after": 1},
        {"severity": "warning", "ladder": "10=critical, 40=critical"},
    ),
    "probe-failing": (
        {"severity": "critical", "open_above": 1, "close_below": 1, "open_after": 3, "close_after": 2},
        {"window_bad": 5, "window_size": 10},
    ),
}
PLAIN = {
    "service_pattern": "*", "opens_incident": True, "enabled": True, "sustain_s": 0, "ladder": "",
    "window_bad": 0, "window_size": 0, "market": "",
}


def add(apps, schema_editor):
    rules = apps.get_model("monitoring", "Rule").objects
    for name, (kind, severity, above, below, opens, closes, more) in RULES.items():
        shipped = {
            "kind": kind, "severity": severity, "open_above": above, "close_below": below,
            "open_after": opens, "close_after": closes,
        }
        rules.get_or_create(name=name, defaults={**shipped, **more})
    for name, (was, becomes) in BEFORE.items():
        rules.filter(name=name, **PLAIN, **was).update(**becomes)


def remove(apps, schema_editor):
    rules = apps.get_model("monitoring", "Rule").objects
    rules.filter(name__in=RULES).delete()
    for name, (was, becomes) in BEFORE.items():
        back = {field: was.get(field, PLAIN.get(field)) for field in becomes}
        rules.filter(name=name, **becomes).update(**back)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0008_rules")]
    operations = [migrations.RunPython(add, remove)]
