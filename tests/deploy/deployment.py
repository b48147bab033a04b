"""A deployment of compose.yaml: brought up by docker-compose 1.29, of images made here, on its own Engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import yaml
from docker.models.containers import Container

from tests.conditions import wait_until
from tests.deploy.engine import isolated_engine
from tests.deploy.images import BASE, IMAGE, make_images
from tests.deploy.place import ROOT, laid_out

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
RUNNING = sorted(SERVICES.keys() - {"setup"})
LABEL = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
#: Longest time until every container is healthy, on a machine that does other things meanwhile.
HEALTHY_WITHIN_S = 240.0
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
    """A running deployment: its folder, its Engine, the address of its nginx, and what containers call us."""

    folder: Path
    host: str
    url: str
    #: This machine's address, as the deployment's containers reach it.
    outside: str = ""
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

    def shell(self, script: str, given: str = "", within_s: float = 900) -> str:
        """Run commands as they are written in docs, which read ``given``; returns what they print."""
        own = {"COMPOSE_PROJECT_NAME": self.project, "DOCKER_SOCKET": self.host.removeprefix("unix://")}
        done = subprocess.run(  # noqa: S603 - the docs' commands
            ["/bin/sh", "-e", "-c", script],
            cwd=self.folder,
            env={**self.environment, **own},
            input=given,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    def inside(self, service: str, *words: str) -> str:
        """Run a program in a service's container, of replicas the oldest, and return its output."""
        numbers = [one.labels[NUMBER] for one in self.all_containers() if one.labels[LABEL] == service]
        return self.compose("exec", "-T", "--index", min(numbers, key=int, default="1"), service, *words)

    def containers(self) -> dict[str, Container]:
        """Return the running containers by their service's name; of replicas, one."""
        return {one.labels[LABEL]: one for one in self.all_containers()}

    def all_containers(self) -> list[Container]:
        """Return every running container of the deployment, replicas too."""
        with closing(docker.DockerClient(base_url=self.host, timeout=120)) as client:
            return list(
                client.containers.list(filters={"label": f"com.docker.compose.project={self.project}"})
            )

    def secret(self, name: str) -> str:
        """Return what prepare.sh wrote."""
        return (self.folder / "secrets" / name).read_text()

    def posture(self) -> dict[str, Any]:
        """Return what the posture page holds of containers: ``bad``, ``unknown``, and numbers of ``good``."""
        said = self.inside("worker-collect", "python", "manage.py", "shell", "-v", "0", "-c", POSTURE)
        return dict(json.loads(said.splitlines()[-1]))

    def status(self) -> dict[str, Any]:
        """Return ``manage.py status --json``."""
        return dict(json.loads(self.inside("web", "python", "manage.py", "status", "--json")))


def healthy(one: Container) -> bool:
    """Whether the Engine calls a container healthy."""
    return bool(one.attrs["State"].get("Health", {}).get("Status") == "healthy")


def all_healthy(one: Deployment) -> bool:
    """Whether every service runs and every container is healthy."""
    found = one.all_containers()
    return {each.labels[LABEL] for each in found} >= set(RUNNING) and all(map(healthy, found))


@contextmanager
def prepared(folder: Path, **lines: str) -> Iterator[Deployment]:
    """Make images on an Engine of its own and lay the deployment out in ``folder``; nothing of it runs yet.

    ``lines`` go to ``.env``. What the caller starts is taken down at the end.

    Raises:
        EngineFailed: the Engine does not come up.
        subprocess.CalledProcessError: an image cannot be made.
    """
    with isolated_engine() as engine:
        make_images(engine.host)
        url = f"http://{engine.address}:8080"
        given = {
            "IMAGE": IMAGE,
            "REDIS_IMAGE": BASE,
            "REDIS_BEFORE_7_2": "1",
            "POSTGRES_IMAGE": BASE,
            "NGINX_IMAGE": BASE,
            "HTTP_BIND": "0.0.0.0",  # noqa: S104 - of the namespace
            "PUBLIC_URL": url,
            "ALLOWED_HOSTS": engine.address,
            "CSRF_TRUSTED_ORIGINS": url,
        }
        place = laid_out(folder, Path(engine.host.removeprefix("unix://")), **(given | lines))
        one = Deployment(place, engine.host, url, engine.outside)
        try:
            yield one
        finally:
            with suppress(AssertionError):
                one.compose("down", "--volumes", "--timeout", "5")


def bring_up(one: Deployment) -> None:
    """``docker-compose up -d``; returns once everything is healthy.

    Raises:
        AssertionError: it is not in time; the message holds the ends of all logs.
    """
    try:
        one.compose("up", "-d")
        wait_until(lambda: all_healthy(one), HEALTHY_WITHIN_S, "all healthy", 1)
    except AssertionError as error:
        raise AssertionError(
            f"{error}\n{one.compose('ps')}\n{one.compose('logs', '--tail', '20')}"
        ) from error


def tell(one: Deployment, channel: str) -> None:
    """Name the channel of messages, an Apprise URL; for a deployment that does not run yet."""
    secret = one.folder / "secrets" / "notify_urls"
    secret.chmod(0o600)
    secret.write_text(channel)
    secret.chmod(0o444)


def signed_in(one: Deployment) -> httpx.Client:
    """Return the administrator's browser."""
    browser = httpx.Client(base_url=one.url, follow_redirects=True, timeout=30)
    page = browser.get("/")
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    form = {
        "username": "admin",
        "password": one.secret("admin_password"),
        "csrfmiddlewaretoken": token,
    }
    answer = browser.post(str(page.url), data=form, headers={"Referer": str(page.url)})
    assert answer.status_code == 200, answer.text[:500]
    assert "sessionid" in browser.cookies
    return browser


def gateway_owner(one: Deployment) -> str:
    """Return the service of the gateway that owns the key."""
    names = ("gateway-a", "gateway-b")
    said = {name: one.inside(name, "python", "-m", "portal.supervise.health") for name in names}
    return next(name for name, words in said.items() if words.startswith("owns"))


def incidents(browser: httpx.Client) -> list[dict[str, Any]]:
    """Return the incidents as the API tells them to a browser that is signed in."""
    return list(browser.get("/api/v1/incidents").json())
