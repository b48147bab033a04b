"""What people and deployments do to containers that are well: nothing of it is an incident."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from random import Random

from tests.proof.world import SECOND_NS, World

_builds = itertools.count(1)
SERVES = 'n=0; while :; do n=$((n+1)); echo "INFO request $n served"; sleep 1; done'
#: Not ready for twenty seconds, within the period in which a failing check does not count.
SLOW = f"sleep 20; touch /tmp/ready; {SERVES}"
STARTING = {"start_period": 30 * SECOND_NS}
CHATTY = f'n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo "INFO loading module $n"; done; {SERVES}'
BURST = "timeout 12 sh -c 'while :; do :; done'"
SHELLS = tuple(f"soak-worker-{number}" for number in range(1, 8))
HTTP = tuple(f"soak-api-{number}" for number in range(1, 4))
WEBSOCKET = "soak-feed"
NAMES = (*SHELLS, *HTTP, WEBSOCKET)

Operation = Callable[[World, Random], str]


def start(world: World) -> None:
    """Start eleven services that are well."""
    for number, name in enumerate(SHELLS):
        limit = "32m" if number % 2 else None
        world.run_shell(name, SERVES, check="true" if number % 3 else "", check_s=5, mem_limit=limit)
    for name in HTTP:
        _serve_http(world, name)
    world.run(WEBSOCKET, "websocket", probe="ws")


def _serve_http(world: World, name: str) -> None:
    world.run(name, "http", probe="http", check_s=5, mem_limit="128m")


def deploy_build(world: World, random: Random) -> str:
    """Another image, another container, the same name."""
    name = random.choice(SHELLS)
    tag = world.busybox(next(_builds))
    world.run_shell(name, SERVES, check="true", check_s=5, image=tag)
    return f"deploy a new build of {name}"


def deploy_api(world: World, random: Random) -> str:
    """Another container that answers on the same port."""
    name = random.choice(HTTP)
    world.container(name).stop(timeout=2)
    _serve_http(world, name)
    return f"deploy {name}"


def deploy_as_compose(world: World, random: Random) -> str:
    """Make the new container under another name, remove the old one, and give the new one its name."""
    name = random.choice(SHELLS)
    old = world.container(name)
    fresh = world.run_shell(f"{old.short_id}_{name}", SERVES, check="true", check_s=5)
    old.stop(timeout=2)
    old.remove()
    fresh.rename(name)
    return f"deploy {name} as compose does"


def restart(world: World, random: Random) -> str:
    """``docker restart``."""
    name = random.choice(NAMES)
    world.container(name).restart(timeout=2)
    return f"restart {name}"


def stop_and_start(world: World, random: Random) -> str:
    """Stop it and start it again within seconds."""
    name, pause = random.choice(NAMES), random.uniform(1, 8)
    container = world.container(name)
    container.stop(timeout=2)
    time.sleep(pause)
    container.start()
    return f"stop {name} and start it after {pause:.0f} s"


def start_slowly(world: World, random: Random) -> str:
    """A new container whose health check fails while it starts."""
    name = random.choice(SHELLS)
    world.run_shell(name, SLOW, check="[ -e /tmp/ready ]", check_s=4, healthcheck=STARTING)
    return f"deploy {name}, which starts for 20 s"


def start_chattily(world: World, random: Random) -> str:
    """A new container that writes 300 lines at once when it starts."""
    name = random.choice(SHELLS)
    world.run_shell(name, CHATTY, check="true", check_s=5)
    return f"deploy {name}, which writes 300 lines as it starts"


def burst(world: World, random: Random) -> str:
    """A whole core for twelve seconds."""
    name = random.choice(SHELLS)
    world.container(name).exec_run(["sh", "-c", BURST], detach=True)
    return f"{name} takes a core for 12 s"


OPERATIONS: Mapping[str, Operation] = {
    "deploy": deploy_build,
    "deploy-api": deploy_api,
    "compose": deploy_as_compose,
    "restart": restart,
    "stop-start": stop_and_start,
    "slow-start": start_slowly,
    "chatty-start": start_chattily,
    "burst": burst,
}
