"""The audit's chain: what is recorded, and that each way of tampering is found out."""

from __future__ import annotations

import json
import os

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction

from incidents import audit, audit_anchor
from incidents.audit_check import Fault, verify
from incidents.audit_triggers import CREATE, DROP
from incidents.models import AppendOnly, AuditEntry, AuditHead
from tests.incidents.conftest import NOW, after

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    """An anchor of the test's own."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def chain():
    """Five entries, and a database whose triggers somebody dropped."""
    run(*DROP[connection.vendor])
    for number in range(1, 6):
        audit.record(action="service.restart", actor=None, target=f"api-{number}", reason="느리다", at=NOW)
    assert verify().finding is None
    yield
    # What empties the database after the test deletes entries on SQLite, and truncates them on PostgreSQL.
    run(*(CREATE["sqlite"][:1] if connection.vendor == "sqlite" else CREATE["postgresql"]))


def run(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def found():
    finding = verify().finding
    return None if finding is None else (finding.fault, finding.seq)


def rows(**which):
    """Entries as somebody with a database's own client has them: nothing is refused."""
    return models.QuerySet(AuditEntry).filter(**which)


def anchored():
    anchor = audit_anchor.read()
    assert anchor is not None
    return anchor


def cut(**which):
    rows(**which)._raw_delete("default")


def renumber(first, by):
    """Move the entries from ``first`` on by ``by``, as somebody would who hides a hole."""
    order = "-seq" if by > 0 else "seq"
    for seq in list(rows(seq__gte=first).order_by(order).values_list("seq", flat=True)):
        rows(seq=seq).update(seq=seq + by)


def forge(seq, copied=1, **changes):
    """Add an entry without the key."""
    given = rows(seq=copied).values().get()
    rows().bulk_create([AuditEntry(**{**given, "seq": seq, "actor_name": "mallory", **changes})])


def test_an_entry_says_who_did_what_why_and_what_changed():
    alice = User.objects.create(username="alice")
    audit.record(
        action="service.restart",
        actor=alice,
        target="api-gateway\nINC-1",
        reason="token=abcdef0123456789 재시작",
        before={"state": "running", "password": "hunter2"},
        after={"at": NOW, "ratio": -0.0},
        at=NOW,
    )
    alice.delete()
    entry = AuditEntry.objects.get()
    assert (entry.seq, entry.at, entry.actor_name) == (1, NOW, "alice")
    assert (entry.action, entry.target, entry.reason) == (
        "service.restart",
        "api-gateway INC-1",
        "token=*** 재시작",
    )
    assert entry.before == {"state": "running", "password": "***"}
    assert entry.after == {"at": str(NOW), "ratio": 0.0}
    assert verify().finding is None


def test_values_that_are_too_large_are_replaced_and_texts_cut():
    entry = audit.record(
        action="a.b", actor=None, target="x" * 999, reason="y" * 9999, after={"n": "z" * 99_999}
    )
    assert (len(entry.target), len(entry.reason)) == (audit.TARGET_MAX, audit.REASON_MAX)
    assert list(entry.after or {}) == ["dropped"]


@pytest.mark.parametrize("word", ["", "restart", "Service.restart", "service..x", "a." + "b" * 63])
def test_an_action_is_a_dotted_word(word):
    with pytest.raises(ValueError, match="dotted word"):
        audit.record(action=word, actor=None, target="x")


def test_what_is_rolled_back_was_not_done():
    with transaction.atomic():
        audit.record(action="a.b", actor=None, target="x")
        transaction.set_rollback(True)
    audit.record(action="a.c", actor=None, target="x")
    assert list(AuditEntry.objects.values_list("seq", "action")) == [(1, "a.c")]
    assert audit_anchor.read() == audit_anchor.Anchor(1, AuditEntry.objects.get().mac)


def test_the_models_refuse_to_change_or_remove(chain):
    entry = AuditEntry.objects.get(seq=2)
    everything = AuditEntry.objects.all()
    for refused in (
        entry.save,
        entry.delete,
        everything.delete,
        lambda: everything.update(reason=""),
        lambda: AuditEntry.objects.bulk_update([entry], ["reason"]),
        lambda: AuditEntry.objects.bulk_create([AuditEntry(seq=9, at=NOW)]),
        lambda: AuditEntry.objects.filter(seq=2).update(reason=""),
    ):
        with pytest.raises(AppendOnly):
            refused()
    assert found() is None


def test_the_database_refuses_too(chain):
    run(*CREATE[connection.vendor])
    try:
        for statement in ("UPDATE incidents_auditentry SET reason = ''", "DELETE FROM incidents_auditentry"):
            with pytest.raises(DatabaseError, match="audit entries cannot be"), transaction.atomic():
                run(statement)
    finally:
        run(*DROP[connection.vendor])
    assert found() is None


@pytest.mark.parametrize(
    "column", ["actor_name", "action", "target", "reason", "before_json", "after_json", "previous", "mac"]
)
def test_a_changed_column_is_found(chain, column):
    rows(seq=3).update(**{column: "x.y"})
    assert found() == (Fault.CHANGED, 3)


def test_a_changed_time_or_person_is_found(chain):
    rows(seq=2).update(actor_id=7)
    assert found() == (Fault.CHANGED, 2)
    rows(seq=2).update(actor_id=None)
    rows(seq=5).update(at=after(1))
    assert found() == (Fault.CHANGED, 5)


def test_an_entry_removed_from_the_middle_is_found(chain):
    cut(seq__in=(2, 3))
    assert found() == (Fault.REMOVED, 2)


def test_an_entry_removed_and_hidden_by_numbering_anew_is_found(chain):
    cut(seq__in=(2, 3))
    renumber(4, -2)
    assert found() == (Fault.REMOVED, 2)


def test_an_entry_inserted_in_the_middle_is_found(chain):
    renumber(3, 1)
    forge(3)
    assert found() == (Fault.INSERTED, 3)


def test_an_entry_added_without_the_key_is_found_and_stays_found(chain):
    forge(6)
    assert found() == (Fault.INSERTED, 6)
    audit.record(action="a.b", actor=None, target="later")
    assert found()[1] == 6


def test_the_end_cut_off_is_found_by_the_head_and_by_the_anchor(chain):
    cut(seq__gt=3)
    assert found() == (Fault.TRUNCATED, 4)
    last = AuditEntry.objects.get(seq=3)
    AuditHead.objects.update(seq=3, mac=last.mac)
    assert found() == (Fault.TRUNCATED, 4)


def test_everything_removed_is_found(chain):
    cut()
    AuditHead.objects.all().delete()
    assert found() == (Fault.TRUNCATED, 1)


def test_an_older_copy_is_found_even_after_it_was_written_on(chain):
    """The database of the third entry is put back, and work goes on past the number that was lost."""
    cut(seq__gt=3)
    AuditHead.objects.update(seq=3, mac=AuditEntry.objects.get(seq=3).mac)
    for number in range(4):
        audit.record(action="a.b", actor=None, target=str(number))
        assert found() == ((Fault.TRUNCATED, 5))
    call_command("verify_audit", accept="Monday's backup was restored")
    assert found() is None
    audit.record(action="a.b", actor=None, target="on")
    assert found() is None
    kept = AuditEntry.objects.get(action="audit.reanchor")
    assert (kept.reason, (kept.before or {})["seq"]) == ("Monday's backup was restored", 5)


def test_the_anchor_follows_what_another_process_wrote_unless_it_is_forged(settings, tmp_path, chain):
    settings.DATA_DIR = tmp_path / "worker"
    settings.DATA_DIR.mkdir()
    audit.record(action="incident.open", actor=None, target="INC-1")
    settings.DATA_DIR = tmp_path
    assert anchored().seq == 5

    assert (audit.follow(0), anchored().seq) == (6, 6)
    AuditEntry(**{**rows(seq=6).values().get(), "seq": 99}).save()
    assert (audit.follow(6), anchored().seq) == (6, 6)
    cut(seq__gte=6)
    assert (audit.follow(0), anchored().seq) == (5, 6)
    assert found() == (Fault.TRUNCATED, 6)


def test_who_shares_the_folder_cannot_choose_what_the_anchor_is_written_over(tmp_path, chain):
    other = tmp_path / "other"
    other.write_text("a backup")
    anchor = audit_anchor.path()
    before = anchored()
    for name in (".lock", f".{os.getpid()}.new"):
        anchor.with_suffix(name).unlink(missing_ok=True)
        anchor.with_suffix(name).symlink_to(other)

    assert not audit_anchor.advance(audit_anchor.Anchor(before.seq + 1, "x"))
    audit_anchor.write(before)

    assert other.read_text() == "a backup"
    assert audit_anchor.read() == before
    assert not anchor.is_symlink()


def test_a_lost_or_damaged_anchor_is_told(chain):
    audit_anchor.path().write_text("{")
    assert found() == (Fault.NO_ANCHOR, 5)
    audit_anchor.path().unlink()
    assert found() == (Fault.NO_ANCHOR, 5)
    audit.record(action="a.b", actor=None, target="x")
    assert found() is None


def test_keys_are_rotated_by_putting_the_new_one_first(chain, settings):
    old = settings.SECRET_KEY
    settings.AUDIT_KEY = ["n" * 40]
    audit.record(action="a.b", actor=None, target="x")
    assert found() is None
    assert AuditEntry.objects.values("key_id").distinct().count() == 2
    settings.SECRET_KEY = "another" * 9
    assert found() == (Fault.UNKNOWN_KEY, 1)
    settings.AUDIT_KEY = ["n" * 40, old]
    assert found() is None


def test_the_key_of_the_channels_signs_nothing(chain, settings):
    """Each purpose has a key of its own, so that a database that holds one key's output tells nothing."""
    from incidents.vault import digests

    assert AuditEntry.objects.all()[0].mac not in digests("")


def test_old_entries_go_and_the_rest_is_still_whole(chain, settings):
    settings.AUDIT_KEEP_DAYS = 30
    run(*CREATE[connection.vendor])
    try:
        audit.record(action="a.b", actor=None, target="new", at=after(86_400 * 40))
        assert audit.prune(now=after(86_400 * 41)) == 5
        assert audit.prune(now=after(86_400 * 41)) == 0
        assert list(AuditEntry.objects.values_list("seq", "action")) == [(7, "audit.prune"), (6, "a.b")]
        assert found() is None
        audit_anchor.write(audit_anchor.Anchor(2, "of a machine that wrote long ago"))
        assert audit_anchor.advance(audit_anchor.Anchor(7, AuditEntry.objects.get(seq=7).mac))
        assert found() is None
    finally:
        run(*DROP[connection.vendor])


def test_a_forged_claim_of_pruning_is_found(chain):
    cut(seq=1)
    forged = json.dumps({"seq": 1, "mac": AuditEntry.objects.get(seq=2).previous})
    forge(6, copied=5, action="audit.prune", target="1", after_json=forged)
    assert found() == (Fault.INSERTED, 6)


def test_the_command_names_the_first_broken_entry(chain, capsys):
    call_command("verify_audit")
    assert capsys.readouterr().out == "5 audit entries up to number 5, all genuine.\n"
    call_command("verify_audit", "--json")
    assert json.loads(capsys.readouterr().out) == {"ok": True, "entries": 5, "last": 5, "finding": None}
    rows(seq__in=(2, 4)).update(reason="x")
    with pytest.raises(CommandError, match="Audit entry 2 changed"):
        call_command("verify_audit")
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", "--json")
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["finding"]["fault"] == "changed"


def test_pages_are_read_one_after_another(chain, monkeypatch):
    monkeypatch.setattr("incidents.audit_check.PAGE", 2)
    counts: list[int] = []
    assert verify(progress=counts.append).entries == 5
    assert counts == [2, 4, 5]
