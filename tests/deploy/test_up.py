"""The deployment itself: brought up by docker-compose 1.29 from images made here, used through its nginx."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import docker
import httpx
import pytest

from portal.monitoring.runtimes.docker_api import size_bytes
from tests.conditions import wait_until
from tests.deploy.deployment import (
    RUNNING,
    SERVICES,
    Deployment,
    bring_up,
    incidents,
    prepared,
    signed_in,
    tell,
)
from tests.deploy.images import BASE, IMAGE
from tests.deploy.place import ROOT
from tests.e2e.client import logged_in
from tests.receiver import Receiver, receiving
from tests.require import require
from tests.rights import allowed

pytestmark = [pytest.mark.docker, pytest.mark.fleet, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Receiver]]:
    """Everything up and healthy, and who gets its messages."""
    require(shutil.which("docker-compose"), "docker-compose")
    with (
        prepared(tmp_path_factory.mktemp("deploy") / "bonghwa") as one,
        receiving(one.outside) as receiver,
    ):
        tell(one, receiver.channel)
        bring_up(one)
        yield one, receiver


@pytest.fixture(scope="module")
def deployment(site: tuple[Deployment, Receiver]) -> Deployment:
    return site[0]


@pytest.fixture(scope="module")
def inspected(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Return what the Engine says of each running container."""
    return {name: one.attrs for name, one in deployment.containers().items()}


@pytest.mark.parametrize("name", RUNNING)
def test_a_container_runs_with_what_the_file_says(inspected: dict[str, dict[str, Any]], name: str) -> None:
    written, found = SERVICES[name], inspected[name]
    host = found["HostConfig"]

    assert host["Memory"] == host["MemorySwap"] == size_bytes(written["mem_limit"])
    assert host["NanoCpus"] == written["cpus"] * 1e9
    assert host["CpuShares"] == written.get("cpu_shares", 0)
    assert host["PidsLimit"] == written["pids_limit"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (True, ["ALL"], None)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Init"] is True
    assert found["Config"]["User"] == written["user"]
    assert found["Config"]["Healthcheck"]["Timeout"] < found["Config"]["Healthcheck"]["Interval"]
    assert found["RestartCount"] == 0


@pytest.mark.parametrize("name", RUNNING)
def test_no_process_has_a_capability_can_gain_one_or_can_write_the_root(
    deployment: Deployment, name: str
) -> None:
    script = "cat /proc/1/status; id -u; touch /usr/x 2>&1 || echo cannot"
    said = deployment.inside(name, "sh", "-c", script)

    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert SERVICES[name]["user"].split(":")[0] in said.splitlines()
    assert said.splitlines()[-1] == "cannot"


def test_no_secret_is_in_an_environment_or_an_image(
    deployment: Deployment, inspected: dict[str, dict[str, Any]]
) -> None:
    secrets = [path.read_text() for path in (deployment.folder / "secrets").iterdir()]
    for one in inspected.values():
        assert not [secret for secret in secrets if len(secret) > 20 and secret in json.dumps(one)]
    search = "ls -A /app; find / -xdev '(' -name '.env*' -o -name .git ')' 2>/dev/null || true"
    assert set(deployment.inside("web", "sh", "-c", search).split()) == {
        *("LICENSE", "__pycache__", "gateway", "incidents", "manage.py", "portal", "requirements.txt"),
        "templates",
    }


def test_compose_builds_the_image_by_itself_and_once(deployment: Deployment) -> None:
    for name in (*context(), "Dockerfile", ".dockerignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, deployment.folder / name)

    said = deployment.shell(f"BASE={BASE} IMAGE=bonghwa:built docker-compose build")

    assert said.count("Successfully built") == 1
    layers = [
        deployment.shell(f"docker image inspect --format '{{{{.RootFS.Layers}}}}' {name}")
        for name in ("bonghwa:built", IMAGE)
    ]
    assert layers[0] == layers[1]


def context() -> list[str]:
    """Return what goes into the image, and is there."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line[1:] for line in lines if line.startswith("!") and (ROOT / line[1:]).exists()]


REACH = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"


@pytest.mark.parametrize(
    ("name", "target", "port", "reached"),
    [
        ("worker-collect", "docker-read", "2375", True),
        ("worker-ops", "docker-ops", "2376", True),
        ("worker-collect", "docker-ops", "2376", False),
        ("worker-ops", "docker-read", "2375", False),
        ("web", "docker-ops", "2376", False),
        ("gateway-a", "docker-read", "2375", False),
    ],
)
def test_only_its_own_worker_reaches_a_socket_proxy(
    deployment: Deployment,
    inspected: dict[str, dict[str, Any]],
    name: str,
    target: str,
    port: str,
    reached: bool,
) -> None:
    (network,) = inspected[target]["NetworkSettings"]["Networks"].values()
    script = f"python -c '{REACH}' {network['IPAddress']} {port} 2>/dev/null && echo yes || echo no"

    assert deployment.inside(name, "sh", "-c", script).strip() == ("yes" if reached else "no")


def test_the_collect_worker_s_proxy_refuses_to_act(deployment: Deployment) -> None:
    script = "import httpx; print(httpx.post('http://docker-read:2375/containers/x/restart').status_code)"

    assert deployment.inside("worker-collect", "python", "-c", script).strip() == "403"


def test_rows_reach_an_end_user_through_nginx(deployment: Deployment) -> None:
    made = deployment.inside("web", "python", "manage.py", "feedkey", "create", "--name", "e2e", "--json")

    async def listen() -> set[str]:
        async with logged_in(None, json.loads(made), url=deployment.url) as client:  # type: ignore[arg-type]
            await client.more_rows(60)
            return {row["item"] for row in client.rows}

    assert asyncio.run(listen()) == {"005930"}


def test_the_portal_and_its_api_see_their_own_services(deployment: Deployment) -> None:
    def seen() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in deployment.status()["services"] if one["runtime"] == "docker"}

    expected = {f"{deployment.project}_{name}_1" for name in RUNNING}
    wait_until(lambda: seen().keys() >= expected, 90, "every service is seen", 2)
    services = seen()
    assert {services[name]["health"] for name in expected} == {"healthy"}
    assert f"{deployment.project}_setup_1" not in services
    with closing(signed_in(deployment)) as browser:
        assert f"{deployment.project}_web_1" in browser.get("/services/").text
        rows = browser.get("/api/v1/services").json()
        assert expected <= {one["name"] for one in rows}
    assert [one["state"] for one in deployment.status()["gateway"]] == ["live"]


def may(deployment: Deployment, service: str, statements: list[str]) -> list[str]:
    """Return which statements the database lets a service run."""
    settings = ("env", "DJANGO_SETTINGS_MODULE=portal.settings", "python", "-c")
    return allowed(partial(deployment.inside, service, *settings), statements)


@pytest.mark.parametrize("service", ["web", "worker-collect", "worker-ops", "beat"])
def test_nothing_that_runs_all_day_can_rewrite_the_audit_or_change_tables(
    deployment: Deployment, service: str
) -> None:
    prune = "DELETE FROM incidents_auditentry WHERE false"
    statements = [
        "SELECT 1 FROM incidents_auditentry",
        "UPDATE incidents_auditentry SET reason = ''",
        prune,
        "DELETE FROM incidents_audithead",
        "TRUNCATE incidents_auditentry",
        "ALTER TABLE incidents_auditentry DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id int)",
        "SET ROLE bonghwa_owner",
    ]

    expected = [statements[0], *([prune] if service == "worker-ops" else [])]
    assert may(deployment, service, statements) == expected


def test_a_gateway_reads_the_market_s_days_and_nothing_else(deployment: Deployment) -> None:
    tables = deployment.compose(
        *("exec", "-T", "postgres", "psql", "-h", "/tmp", "-U", "postgres", "-At", "bonghwa"),
        *("-c", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"),
    ).split()
    reads = [f"SELECT 1 FROM {table}" for table in tables]  # noqa: S608 - names of the catalogue

    assert "SELECT 1 FROM auth_user" in reads
    assert may(deployment, "gateway-a", [*reads, "DELETE FROM gateway_marketday"]) == [
        "SELECT 1 FROM gateway_marketday"
    ]


def test_the_posture_page_finds_nothing_of_any_container(deployment: Deployment) -> None:
    found = wait_until(
        lambda: (one := deployment.posture())["good"].get("memory_limit") == len(RUNNING) and one,
        90,
        "all are judged",
        2,
    )
    assert (found["bad"], found["unknown"]) == ([], [])
    for check in ("cpu_limit", "log_rotation", "health_check", "health_timeout", "restart_policy", "root"):
        assert found["good"][check] == len(RUNNING), check


def test_readiness_is_green_and_one_gateway_stands_by(deployment: Deployment) -> None:
    def green() -> bool:
        answer = httpx.get(f"{deployment.url}/health/ready", timeout=10)
        return answer.status_code == 200 and bool(answer.json()["status"] == "ok")

    assert wait_until(green, 60)
    said = [
        deployment.inside(name, "python", "-m", "portal.supervise.health")
        for name in ("gateway-a", "gateway-b")
    ]
    assert sorted(said) == ["owns key-1\n", "stands by for key-1\n"]


SICK = {"test": ["CMD", "false"], "interval": 2_000_000_000, "timeout": 1_000_000_000, "retries": 2}


def test_a_container_that_falls_ill_becomes_an_incident_on_the_page_and_a_message(
    site: tuple[Deployment, Receiver],
) -> None:
    deployment, receiver = site
    with (
        closing(docker.DockerClient(base_url=deployment.host, timeout=120)) as client,
        closing(signed_in(deployment)) as browser,
    ):
        shop = client.containers.run(BASE, ["sleep", "600"], name="shop", detach=True, healthcheck=SICK)
        try:
            found = wait_until(
                lambda: [one for one in incidents(browser) if "shop" in one["services"]], 60, "an incident", 1
            )
            wait_until(lambda: [one for one in receiver.messages if "shop" in str(one)], 60, "a message")
            page = browser.get(f"/incidents/{found[0]['number']}/")
        finally:
            shop.remove(force=True)

    assert len(found) == 1
    assert "shop" in page.text
