"""``deploy/compose/prepare.sh``: secrets that are made once and reach nobody else."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import yaml

from tests.deploy.place import ROOT, prepare


def test_every_secret_of_the_compose_file_is_there_and_the_folder_is_the_caller_s_alone(
    deployment: Path,
) -> None:
    named = yaml.safe_load((ROOT / "compose.yaml").read_text())["secrets"].values()

    assert stat.S_IMODE((deployment / "secrets").stat().st_mode) == 0o700
    for secret in named:
        assert stat.S_IMODE((deployment / secret["file"]).stat().st_mode) == 0o444


def test_passwords_are_long_and_all_different(deployment: Path) -> None:
    passwords = [path.read_text() for path in (deployment / "secrets").glob("*password*")]
    passwords += [
        (deployment / "secrets" / name).read_text() for name in ("secret_key", "audit_key", "channel_key")
    ]

    assert min(map(len, passwords)) >= 40
    assert len(set(passwords)) == len(passwords)


def test_a_second_run_keeps_what_is_there(deployment: Path) -> None:
    (deployment / "secrets" / "notify_urls").chmod(0o644)
    (deployment / "secrets" / "notify_urls").write_text("json://example.com")
    before = {path.name: path.read_text() for path in (deployment / "secrets").iterdir()}
    lines = (deployment / ".env").read_text()

    prepare(deployment, deployment.parent / "docker.sock")

    assert {path.name: path.read_text() for path in (deployment / "secrets").iterdir()} == before
    assert (deployment / ".env").read_text() == lines


def test_redis_knows_each_role_by_the_hash_of_its_password_alone(deployment: Path) -> None:
    users = (deployment / "secrets" / "redis_users").read_text()

    assert users.startswith("user default off")
    for role in ("web", "gateway", "worker-collect", "worker-ops", "beat", "setup"):
        password = (deployment / "secrets" / f"redis_password_{role}").read_text()
        assert f"user {role} on #{hashlib.sha256(password.encode()).hexdigest()} " in users
        assert (
            deployment / "secrets" / f"redis_url_{role}"
        ).read_text() == f"redis://{role}:{password}@redis:6379/0"
        assert password not in users
