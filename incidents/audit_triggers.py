"""The database's own refusal to change or remove audit entries, for SQLite and PostgreSQL.

It guards against mistakes and careless SQL; whoever may drop a trigger is found out by ``verify_audit``.
What a signed entry says was pruned by its age may go. The triggers look at no other table, so that a later
migration may rebuild any of them.
"""

from __future__ import annotations

_PRUNED = """EXISTS (SELECT 1 FROM incidents_auditentry AS claim WHERE claim.action = 'audit.prune'
    AND CASE WHEN claim.action = 'audit.prune' THEN CAST(claim.target AS bigint) END >= OLD.seq)"""

CREATE = {
    "sqlite": (
        """CREATE TRIGGER incidents_audit_unchanged BEFORE UPDATE ON incidents_auditentry
        BEGIN SELECT RAISE(ABORT, 'audit entries cannot be changed'); END""",
        f"""CREATE TRIGGER incidents_audit_kept BEFORE DELETE ON incidents_auditentry WHEN NOT {_PRUNED}
        BEGIN SELECT RAISE(ABORT, 'audit entries cannot be removed'); END""",
    ),
    "postgresql": (
        f"""CREATE FUNCTION incidents_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' AND {_PRUNED} THEN RETURN OLD; END IF;
            RAISE EXCEPTION 'audit entries cannot be changed or removed';
        END $$""",
        """CREATE TRIGGER incidents_audit_kept BEFORE UPDATE OR DELETE ON incidents_auditentry
        FOR EACH ROW EXECUTE FUNCTION incidents_audit_refuse()""",
    ),
}
DROP = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS incidents_audit_unchanged",
        "DROP TRIGGER IF EXISTS incidents_audit_kept",
    ),
    "postgresql": (
        "DROP TRIGGER IF EXISTS incidents_audit_kept ON incidents_auditentry",
        "DROP FUNCTION IF EXISTS incidents_audit_refuse()",
    ),
}
