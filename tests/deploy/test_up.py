"""The deployment itself: brought up by docker-compose 1.29 from images made here, used through its nginx."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import yaml
from docker.models.containers import Container

from portal.monitoring.runtimes.docker_api import size_bytes
from tests.conditions import wait_until
from tests.deploy.engine import isolated_engine
from tests.deploy.images import BASE, IMAGE, make_images
from tests.deploy.place import ROOT, laid_out
from tests.e2e.client import logged_in
from tests.require import require

pytestmark = [pytest.mark.docker, pytest.mark.fleet, pytest.mark.timeout(900)]

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
RUNNING = sorted(SERVICES.keys() - {"setup"})
LABEL = "com.docker.compose.service"
POSTURE = """
import json
from portal.operations import posture
found = posture.read()
of_containers = [one for one in found.sections if one.key not in (posture.RULE, posture.CHANNEL)]
print(json.dumps({
    "unknown": list(found.unknown),
    "bad": [[one.key, finding.target, finding.seen] for one in of_containers for finding in one.findings],
    "good": {one.key: len(one.good_names) for one in of_containers},
}))
"""


@dataclass(frozen=True)
class Deployment:
    """A running deployment: its folder, its Engine, and the address of its nginx."""

    folder: Path
    host: str
    url: str
    project: str = "bonghwa"

    @property
    def environment(self) -> dict[str, str]:
        """What docker-compose needs."""
        return {"PATH": os.environ["PATH"], "DOCKER_HOST": self.host, "COMPOSE_HTTP_TIMEOUT": "300"}

    def compose(self, *words: str) -> str:
        """Run docker-compose and return its output."""
        done = subprocess.run(  # noqa: S603 - a fixed program
            ["docker-compose", "-p", self.project, *words],  # noqa: S607 - of PATH
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def inside(self, service: str, *words: str) -> str:
        """Run a program in a service's container and return its output."""
        return self.compose("exec", "-T", service, *words)

    def containers(self) -> dict[str, Container]:
        """Return the running containers by their service's name."""
        with closing(docker.DockerClient(base_url=self.host, timeout=120)) as client:
            return {one.labels[LABEL]: one for one in client.containers.list()}

    def secret(self, name: str) -> str:
        """Return what prepare.sh wrote."""
        return (self.folder / "secrets" / name).read_text()


def healthy(one: Container) -> bool:
    """Whether the Engine calls a container healthy."""
    return bool(one.attrs["State"].get("Health", {}).get("Status") == "healthy")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything up and healthy."""
    require(shutil.which("docker-compose"), "docker-compose")
    with isolated_engine() as engine:
        make_images(engine.host)
        url = f"http://{engine.address}:8080"
        folder = laid_out(
            tmp_path_factory.mktemp("deploy") / "bonghwa",
            Path(engine.host.removeprefix("unix://")),
            IMAGE=IMAGE,
            REDIS_IMAGE=BASE,
            POSTGRES_IMAGE=BASE,
            NGINX_IMAGE=BASE,
            HTTP_BIND="0.0.0.0",  # noqa: S104 - of the namespace
            PUBLIC_URL=url,
            ALLOWED_HOSTS=engine.address,
            CSRF_TRUSTED_ORIGINS=url,
        )
        one = Deployment(folder, engine.host, url)
        try:
            one.compose("up", "-d")
            wait_until(
                lambda: sorted(filter(_is_healthy(one), one.containers())) == RUNNING, 240, "all healthy", 1
            )
            yield one
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{one.compose('ps')}\n{one.compose('logs', '--tail', '20')}"
            ) from error
        finally:
            with suppress(AssertionError):
                one.compose("down", "--volumes", "--timeout", "5")


def _is_healthy(one: Deployment) -> Any:
    seen = one.containers()
    return lambda name: healthy(seen[name])


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


def signed_in(deployment: Deployment) -> httpx.Client:
    """Return the administrator's browser."""
    browser = httpx.Client(base_url=deployment.url, follow_redirects=True, timeout=30)
    page = browser.get("/")
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {
        "username": "admin",
        "password": deployment.secret("admin_password"),
        "csrfmiddlewaretoken": token,
    }
    answer = browser.post(str(page.url), data=form, headers={"Referer": str(page.url)})
    assert answer.status_code == 200, answer.text[:500]
    assert "sessionid" in browser.cookies
    return browser


def test_rows_reach_an_end_user_through_nginx(deployment: Deployment) -> None:
    made = deployment.inside("web", "python", "manage.py", "feedkey", "create", "--name", "e2e", "--json")

    async def listen() -> set[str]:
        async with logged_in(None, json.loads(made), url=deployment.url) as client:  # type: ignore[arg-type]
            await client.more_rows(60)
            return {row["item"] for row in client.rows}

    assert asyncio.run(listen()) == {"005930"}


def test_the_portal_and_its_api_see_their_own_services(deployment: Deployment) -> None:
    def seen() -> dict[str, dict[str, Any]]:
        status = json.loads(deployment.inside("web", "python", "manage.py", "status", "--json"))
        return {one["name"]: one for one in status["services"] if one["runtime"] == "docker"}

    expected = {f"{deployment.project}_{name}_1" for name in RUNNING}
    wait_until(lambda: seen().keys() >= expected, 90, "every service is seen", 2)
    services = seen()
    assert {services[name]["health"] for name in expected} == {"healthy"}
    assert f"{deployment.project}_setup_1" not in services
    with closing(signed_in(deployment)) as browser:
        assert f"{deployment.project}_web_1" in browser.get("/services/").text
        rows = browser.get("/api/v1/services").json()
        assert expected <= {one["name"] for one in rows}
    gateway = json.loads(deployment.inside("web", "python", "manage.py", "status", "--json"))["gateway"]
    assert [one["state"] for one in gateway] == ["live"]


def test_the_posture_page_finds_nothing_of_any_container(deployment: Deployment) -> None:
    def read() -> dict[str, Any]:
        said = deployment.inside("worker-collect", "python", "manage.py", "shell", "-v", "0", "-c", POSTURE)
        return dict(json.loads(said.splitlines()[-1]))

    found = wait_until(
        lambda: (one := read())["good"].get("memory_limit") == len(RUNNING) and one, 90, "all are judged", 2
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
