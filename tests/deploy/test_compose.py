"""``compose.yaml`` as it is written: every rule of a deployment, for every service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from portal.monitoring.posture import CHECKS, Container
from portal.monitoring.runtimes.docker_api import size_bytes
from portal.supervise.role import commands
from tests.require import require

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
ONE_SHOT = {"setup"}
OURS = {
    "setup": "setup",
    "web": "web",
    "gateway-a": "gateway",
    "gateway-b": "gateway",
    "worker-collect": "worker-collect",
    "worker-ops": "worker-ops",
    "beat": "beat",
}
#: Who holds what signs, seals and reaches people: SECURITY.md says what follows when one of them is stolen.
HOLDERS = {
    "secret_key": {"web"},
    "audit_key": {"web", "worker-collect", "worker-ops", "setup"},
    "channel_key": {"web", "worker-ops", "setup"},
    "notify_urls": {"web", "worker-ops"},
    "deadman_url": {"worker-ops"},
    "admin_password": {"setup"},
    "kiwoom_app_key": {"gateway-a", "gateway-b"},
    "kiwoom_secret_key": {"gateway-a", "gateway-b"},
}
#: What is kept, and who writes it.
VOLUMES = {
    "data": {"web", "setup"},
    "backups": {"setup"},
    "redis": {"redis"},
    "postgres": {"postgres"},
}
#: As whom each signs in to PostgreSQL (deploy/postgres/roles.sql).
DATABASE_ROLES = {
    "setup": "owner",
    "web": "app",
    "gateway-a": "gateway",
    "gateway-b": "gateway",
    "worker-collect": "app",
    "worker-ops": "ops",
    "beat": "app",
}
PROXIES = {"docker-read": "worker-collect", "docker-ops": "worker-ops"}
#: What may be asked of whom: the services of each network.
NETWORKS = {
    "edge": {"nginx", "web"},
    "backend": {*OURS, "redis", "postgres"},
    "outside": {"gateway-a", "gateway-b", "worker-collect", "worker-ops"},
    "docker-read": {"docker-read", "worker-collect"},
    "docker-ops": {"docker-ops", "worker-ops"},
}
every = pytest.mark.parametrize("name", SERVICES)
running = pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))


def seconds(text: str) -> float:
    """Return a duration such as ``1m10s`` in seconds."""
    parts = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert parts, text
    return int(parts[1] or 0) * 60 + int(parts[2] or 0)


def as_inspected(service: dict[str, Any]) -> dict[str, Any]:
    """Return a service's section as the sweep would keep it of the running container."""
    check = service["healthcheck"]
    return {
        "limits": {"memory_bytes": size_bytes(service["mem_limit"]), "cpu_cores": service["cpus"]},
        "log_options": {"driver": service["logging"]["driver"], **service["logging"]["options"]},
        "health_check": {
            "defined": bool(check.get("test")),
            "timeout_s": seconds(check["timeout"]),
            "interval_s": seconds(check["interval"]),
        },
        "restart_policy": service["restart"],
        "user": service["user"],
        "privileged": service.get("privileged", False),
        "engine_socket": "docker.sock" in str(service.get("volumes")),
        "labels": service["labels"],
    }


def test_there_is_every_part() -> None:
    assert set(SERVICES) == {*OURS, *PROXIES, "redis", "postgres", "nginx"}


@every
def test_processor_memory_and_processes_are_limited_without_swap(name: str) -> None:
    service = SERVICES[name]

    assert 0 < service["cpus"] <= 1.0
    assert service["memswap_limit"] == service["mem_limit"]
    assert 16 << 20 <= size_bytes(service["mem_limit"]) <= 2 << 30
    assert 0 < service["pids_limit"] <= 200


def test_what_people_wait_for_and_what_tells_of_trouble_come_before_what_may_burn() -> None:
    default = 1024
    shares = {name: service.get("cpu_shares", default) for name, service in SERVICES.items()}

    assert {name for name, share in shares.items() if share == 4 * default} == {
        *("nginx", "web", "redis", "postgres")
    }
    assert {name for name, share in shares.items() if share == 2 * default} == {
        *("worker-collect", "worker-ops", "beat", *PROXIES)
    }
    assert {shares[name] for name in ("gateway-a", "gateway-b", "setup")} == {default}


@pytest.mark.parametrize("name", ["gateway-a", "gateway-b"])
def test_a_gateway_has_one_core_and_two_gigabytes(name: str) -> None:
    assert SERVICES[name]["cpus"] == 1.0
    assert size_bytes(SERVICES[name]["mem_limit"]) == 2 << 30


@every
def test_logs_rotate(name: str) -> None:
    assert SERVICES[name]["logging"] == {
        "driver": "json-file",
        "options": {"max-size": "10m", "max-file": "3"},
    }


@running
def test_the_health_check_s_timeout_is_below_its_interval(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert check["retries"] >= 3
    assert check["start_period"]


@running
def test_the_posture_page_finds_nothing(name: str) -> None:
    one = Container(name=name, config=as_inspected(SERVICES[name]))

    assert [check.key for check in CHECKS if check.ask(one) is False] == []


@every
def test_nobody_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    user, group = service["user"].split(":")

    assert int(user) > 0
    assert int(group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert not {"privileged", "pid", "ipc", "network_mode", "devices"} & set(service)


@every
def test_the_root_file_system_cannot_be_written_and_temporary_files_are_bounded(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    (temporary,) = SERVICES[name]["tmpfs"]
    assert temporary.startswith("/tmp:")
    assert "size=" in temporary
    for volume in SERVICES[name].get("volumes", []):
        if volume.startswith("./"):
            assert volume.endswith(":ro"), volume
            assert (ROOT / volume.split(":")[0]).exists()


@every
def test_it_starts_again_after_a_reboot_and_is_given_time_to_stop(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert 10 <= seconds(SERVICES[name]["stop_grace_period"]) <= 70


@every
def test_it_sees_only_its_own_networks(name: str) -> None:
    expected = {network for network, members in NETWORKS.items() if name in members}

    assert set(SERVICES[name]["networks"]) == expected


def test_only_nginx_listens_outside_and_the_stores_have_no_way_out() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    inside = {name for name, network in FILE["networks"].items() if network.get("internal")}
    assert inside == {"backend", "docker-read", "docker-ops"}


def test_only_the_proxies_have_the_docker_socket() -> None:
    holders = {name for name, one in SERVICES.items() if "docker.sock" in str(one.get("volumes"))}
    assert holders == set(PROXIES)
    for name, worker in PROXIES.items():
        rules = (ROOT / "deploy" / "nginx" / f"{name}.conf").read_text()
        port = SERVICES[worker]["environment"]["DOCKER_HOST"].removeprefix(f"tcp://{name}:")
        assert f"listen 127.0.0.1:{port};" in rules, "socket-proxy.sh moves this line off loopback"


@pytest.mark.parametrize(("name", "role"), OURS.items())
def test_every_part_of_ours_is_one_image_with_a_role(name: str, role: str) -> None:
    service = SERVICES[name]

    assert service["image"] == "${IMAGE:-bonghwa:latest}"
    assert service["environment"]["ROLE"] == role
    assert role in commands({})
    assert service["user"] == "10001:10001"
    assert "command" not in service


def test_the_image_is_built_once_by_the_service_that_all_others_wait_for() -> None:
    built = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
    base = re.search(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert base is not None
    assert built == {"setup": {"context": ".", "args": {"BASE": f"${{BASE:-{base[1]}}}"}}}


@every
def test_every_image_can_be_replaced(name: str) -> None:
    assert re.fullmatch(
        r"\$\{[A-Z]+_?IMAGE:-[a-z]+:[\w.-]+\}|\$\{IMAGE:-bonghwa:latest\}", SERVICES[name]["image"]
    )


@every
def test_secrets_are_files_and_each_is_named_where_it_is_mounted(name: str) -> None:
    service = SERVICES[name]
    environment = service.get("environment", {})
    read = {value.rpartition("/")[2] for key, value in environment.items() if key.endswith("_FILE")}

    assert read <= set(service.get("secrets", []))
    if name in OURS:
        assert read == set(service["secrets"])
    assert set(service.get("secrets", [])) <= set(FILE["secrets"])
    for key, value in environment.items():
        assert key.endswith("_FILE") or not re.search("PASSWORD|SECRET|_KEY$|_URLS$|TOKEN", key), (key, value)


@pytest.mark.parametrize("secret", sorted(FILE["secrets"]))
def test_each_secret_is_held_by_those_that_need_it(secret: str) -> None:
    holders = {name for name, one in SERVICES.items() if secret in one.get("secrets", [])}

    if (role := re.fullmatch("redis_url_(.*)", secret)) is not None:
        assert holders == {name for name, its in OURS.items() if its == role[1]}
    elif (role := re.fullmatch("database_url_(.*)", secret)) is not None:
        assert holders == {name for name, its in DATABASE_ROLES.items() if its == role[1]}
    elif secret.startswith("postgres_password_"):
        assert holders == {"postgres"}
    else:
        assert holders == ({"redis"} if secret == "redis_users" else HOLDERS[secret])


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("web", "web"),
        ("gateway", "gateway-a"),
        ("collect worker", "worker-collect"),
        ("ops worker", "worker-ops"),
        ("beat", "beat"),
        ("migrations, backup", "setup"),
    ],
)
def test_who_holds_what_is_what_security_md_says(row: str, name: str) -> None:
    ours = {"SECRET_KEY", "AUDIT_KEY", "CHANNEL_KEY", "NOTIFY_URLS", "DEADMAN_URL"}
    (line,) = re.findall(rf"(?m)^\| {row} \|(.*)$", (ROOT / "SECURITY.md").read_text())
    told = set(re.findall("`([A-Z_]+)`", line.split("|")[1]))

    assert told & ours == ours & {secret.upper() for secret, names in HOLDERS.items() if name in names}


@every
def test_what_is_kept_is_written_by_those_that_need_it(name: str) -> None:
    mounted = {one.partition(":")[0] for one in SERVICES[name].get("volumes", [])}

    assert {one for one in mounted if one in FILE["volumes"]} == {
        volume for volume, holders in VOLUMES.items() if name in holders
    }
    if name in OURS:
        kept = name in VOLUMES["data"]
        # A key that a process makes for itself is in its folder: nobody else's, unless it is kept.
        assert SERVICES[name]["environment"]["DATA_DIR"] == ("/data" if kept else "/tmp/data")


@pytest.mark.parametrize(("name", "role"), DATABASE_ROLES.items())
def test_each_signs_in_to_the_database_as_its_own_role(name: str, role: str) -> None:
    held = {one for one in SERVICES[name]["secrets"] if one.startswith(("database", "postgres"))}

    assert held == {f"database_url_{role}"}


def test_the_database_s_own_container_holds_the_passwords_of_all_its_roles() -> None:
    assert set(SERVICES["postgres"]["secrets"]) == {
        f"postgres_password_{role}" for role in DATABASE_ROLES.values()
    }


@pytest.mark.parametrize("name", sorted(OURS.keys() - ONE_SHOT))
def test_nothing_of_ours_starts_before_the_database_is_migrated(name: str) -> None:
    assert SERVICES[name]["depends_on"]["setup"] == {"condition": "service_completed_successfully"}


def test_the_one_trusted_proxy_is_nginx_and_no_other_container_gets_its_address() -> None:
    (edge,) = FILE["networks"]["edge"]["ipam"]["config"]
    trusted = SERVICES["web"]["environment"]["TRUSTED_PROXIES"]

    assert SERVICES["nginx"]["networks"]["edge"]["ipv4_address"] == trusted == "${EDGE_PROXY:-172.30.93.2}"
    assert (edge["subnet"], edge["ip_range"]) == (
        "${EDGE_SUBNET:-172.30.93.0/24}",
        "${EDGE_RANGE:-172.30.93.128/25}",
    )


def as_docker_compose_reads_it(folder: Path, *additions: str) -> dict[str, dict[str, Any]]:
    """Return the services, with files of deploy/compose added as docs/production.md says."""
    program = shutil.which("docker-compose")
    require(program, "docker-compose (Debian package docker-compose)")
    assert program is not None
    files = ":".join(["compose.yaml", *(f"deploy/compose/{name}" for name in additions)])
    with (folder / ".env").open("a") as env:
        env.write(f"COMPOSE_FILE={files}\n")
    done = subprocess.run([program, "config"], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - the program found above
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


@pytest.mark.docker
def test_docker_compose_1_29_reads_it(deployment: Path) -> None:
    assert set(as_docker_compose_reads_it(deployment)) == set(SERVICES)


@pytest.mark.docker
def test_more_of_web_leaves_what_containers_are_made_of(deployment: Path) -> None:
    one = as_docker_compose_reads_it(deployment)
    with (deployment / ".env").open("a") as env:
        env.write("WEB_REPLICAS=3\n")
    three = as_docker_compose_reads_it(deployment)

    assert (one["web"].pop("scale"), three["web"].pop("scale")) == (1, 3)
    assert one == three


def test_compose_v2_accepts_it_and_its_additions() -> None:
    """By the Compose Specification's own schema, the one with which v2 refuses a file."""
    files = ["compose.yaml", "deploy/compose/tls.yaml", "deploy/compose/other-proxy.yaml"]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - a pinned tool

    assert done.returncode == 0, done.stdout


@pytest.mark.docker
def test_with_tls_only_nginx_s_site_certificate_and_port_are_others(deployment: Path) -> None:
    plain = as_docker_compose_reads_it(deployment)
    secure = as_docker_compose_reads_it(deployment, "tls.yaml")
    mounts = [
        {one.split(":")[1]: one.split(":")[0] for one in services["nginx"].pop("volumes")}
        for services in (plain, secure)
    ]

    assert plain["nginx"].pop("ports") == ["127.0.0.1:8080:8080/tcp"]
    assert secure["nginx"].pop("ports") == ["127.0.0.1:8080:8080/tcp", "127.0.0.1:8443:8443/tcp"]
    assert plain["nginx"] == secure["nginx"]
    assert mounts[1] == mounts[0] | {
        "/etc/bonghwa/site.conf": f"{deployment}/deploy/compose/site-tls.conf",
        "/etc/bonghwa/tls": f"{deployment}/secrets/tls",
    }


@pytest.mark.docker
def test_another_proxy_takes_nginx_s_place(deployment: Path) -> None:
    services = as_docker_compose_reads_it(deployment, "other-proxy.yaml")

    assert services["nginx"]["profiles"] == ["nginx"], "it starts only when asked for"
    assert services["web"]["networks"] == {"edge": {"aliases": ["bonghwa-web"]}, "backend": {}}
    assert services["web"]["environment"]["TRUSTED_PROXIES"] == "172.30.93.2"
