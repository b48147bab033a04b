"""``deploy/compose/prepare.sh``: secrets that are made once and reach nobody else."""

from __future__ import annotations

import hashlib
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.deploy.place import ROOT, prepare

#: The right that Redis 7.0 does not know.
NEWER = "+client|setinfo"


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


def test_a_key_that_was_emptied_is_made_anew(deployment: Path) -> None:
    path = deployment / "secrets" / "audit_key"
    path.chmod(0o644)
    path.write_text("")

    prepare(deployment, deployment.parent / "docker.sock")

    assert len(path.read_text()) >= 40


def test_a_second_run_keeps_what_is_there(deployment: Path) -> None:
    (deployment / "secrets" / "notify_urls").chmod(0o644)
    (deployment / "secrets" / "notify_urls").write_text("json://example.com")
    before = {path.name: path.read_text() for path in (deployment / "secrets").iterdir()}
    lines = (deployment / ".env").read_text()

    prepare(deployment, deployment.parent / "docker.sock")

    assert {path.name: path.read_text() for path in (deployment / "secrets").iterdir()} == before
    assert (deployment / ".env").read_text() == lines


@pytest.mark.parametrize("line", ["WEB_REPLICAS=2\nREDIS_BEFORE_7_2=1\n", "REDIS_BEFORE_7_2=1"])
def test_an_older_redis_is_written_into_env_and_gets_users_that_it_knows(deployment: Path, line: str) -> None:
    with (deployment / ".env").open("a") as env:
        env.write(line)

    prepare(deployment, deployment.parent / "docker.sock")

    assert NEWER not in (deployment / "secrets" / "redis_users").read_text()


def test_an_older_redis_that_was_named_once_is_remembered_until_another_is_named(deployment: Path) -> None:
    users = deployment / "secrets" / "redis_users"
    assert NEWER in users.read_text()

    prepare(deployment, deployment.parent / "docker.sock", REDIS_BEFORE_7_2="1")
    prepare(deployment, deployment.parent / "docker.sock")
    assert NEWER not in users.read_text()

    prepare(deployment, deployment.parent / "docker.sock", REDIS_BEFORE_7_2="")
    prepare(deployment, deployment.parent / "docker.sock")
    assert NEWER in users.read_text()


def test_a_line_of_env_without_an_end_stays_whole(deployment: Path) -> None:
    (deployment / ".env").write_text("HTTP_PORT=8081")

    prepare(deployment, deployment.parent / "docker.sock")

    assert (deployment / ".env").read_text().splitlines()[:1] == ["HTTP_PORT=8081"]


def test_another_docker_socket_is_remembered(deployment: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(deployment.parent / "other.sock"))
        prepare(deployment, deployment.parent / "other.sock")

    lines = (deployment / ".env").read_text().splitlines()
    assert [line for line in lines if line.startswith("DOCKER_SOCKET")][-1].endswith("/other.sock")


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


def test_each_database_role_has_a_password_and_an_address_of_its_own(deployment: Path) -> None:
    for role in ("owner", "app", "ops", "gateway"):
        password = (deployment / "secrets" / f"postgres_password_{role}").read_text()
        assert (
            deployment / "secrets" / f"database_url_{role}"
        ).read_text() == f"postgres://bonghwa_{role}:{password}@postgres:5432/bonghwa"
