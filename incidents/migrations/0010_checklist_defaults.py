"""The look after a change, the pack of the six measures, and when verified items were last known."""

from django.conf import settings
from django.db import migrations
from django.db.models import F

BEAT = ("Verify checklists after a change", "operations.recheck", 30)
PACK = {
    "ko": ("재발 방지 6종", "재시도 폭주 장애에서 나온 여섯 가지 점검 항목"),
    "en": ("Six measures against a retry storm", "What the retry storm of a gateway taught"),
}
KINDS = ["cpu", "memory_limit", "memory_no_limit"]
ITEMS = (
    ("재시도 로직에 지수 백오프 추가", "Add exponential backoff to the retries", "P0", "gateway.backoff",
     {"first_s": 1.0, "most_s": 300.0}),
    ("최대 재시도 횟수 제한 설정", "Limit the number of retries", "P0", "gateway.attempt_limit",
     {"attempts": 100}),
    ("로그 레벨 조정 (INFO → WARNING for retries)", "Adjust the log level (INFO → WARNING for retries)", "P1",
     "logs.retry_level", {"lines_per_min": 10.0}),
    ("Docker 리소스 제한 설정", "Set Docker resource limits", "P1", "docker.limits",
     {"cpus": 1.0, "memory": "2g"}),
    ("Nginx Connection 헤더 수정", "Correct nginx's Connection header", "P0", "proxy.upgrade",
     {"path": "/ws", "timeout_s": 5.0}),
    ("CPU/메모리 모니터링 알림 설정", "Set up CPU and memory alerts", "P1", "alert.armed",
     {"kinds": KINDS, "delivered_days": 30.0}),
)  # fmt: skip


def add(apps, schema_editor):
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    name, task, seconds = BEAT
    interval = interval_model.objects.filter(every=seconds, period="seconds").first()
    if interval is None:
        interval = interval_model.objects.create(every=seconds, period="seconds")
    task_model.objects.get_or_create(
        name=name, defaults={"task": task, "interval": interval, "queue": "ops", "expire_seconds": seconds}
    )
    korean = settings.LANGUAGE_CODE.startswith("ko")
    title, description = PACK["ko" if korean else "en"]
    pack_model = apps.get_model("incidents", "ItemPack")
    pack, made = pack_model.objects.get_or_create(name=title, defaults={"description": description})
    if made:
        item_model = apps.get_model("incidents", "PackItem")
        item_model.objects.bulk_create(
            item_model(
                pack=pack,
                order=order,
                text=in_korean if korean else in_english,
                priority=priority,
                verifier=verifier,
                parameters=parameters,
            )
            for order, (in_korean, in_english, priority, verifier, parameters) in enumerate(ITEMS)
        )
    apps.get_model("incidents", "ChecklistItem").objects.filter(
        state__in=["verified", "failing"], known_at=None
    ).update(known_at=F("checked_at"))


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=BEAT[1]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0009_checklist"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
