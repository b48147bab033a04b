"""Which processes ``make run`` starts and how, as supervisord's configuration. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds a child must live to count as started; one that dies sooner is retried with a growing delay.
START_SECONDS = 3
#: Starts in a row that may fail (delays of 1, 2, 3 … s, 3.5 min in all) before it is given up.
START_RETRIES = 20
STOP_SECONDS = 10
#: The web process tells its clients to come back and drains.
WEB_STOP_SECONDS = 35
LOG_BYTES = "10MB"
LOG_BACKUPS = 3
#: Memory of the embedded Valkey. Everything kept in it is bounded; a full one refuses writes visibly.
VALKEY_MEMORY = "256mb"
#: glibc's memory pools of a worker. By default each of its threads gets one, up to eight for each core, and
#: none of them gives back what the largest sweep took.
WORKER_ARENAS = 2
#: What every program finds in its environment.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "portal.settings"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the plan depends on."""

    base: Path
    data: Path
    python: str
    bind: str
    port: int
    host: str
    simulator: bool
    #: Program and port of the embedded Valkey; None when REDIS_URL names a server.
    valkey: tuple[str, int] | None = None
    root: bool = False

    @property
    def socket(self) -> Path:
        """supervisord's XML-RPC socket."""
        return self.data / "supervisor.sock"

    @property
    def url(self) -> str:
        """Address of the portal from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.bind, self.bind)  # noqa: S104 - compared only
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One supervised process. ``health`` and ``labels`` go to its descriptor for the process runtime."""

    name: str
    command: Sequence[str]
    priority: int
    stop_seconds: int = STOP_SECONDS
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    health: dict[str, Any] | None = None
    labels: dict[str, str] | None = None


def programs(setup: Setup) -> tuple[Program, ...]:
    """Return the processes in the order of their start; they stop in the reverse order."""
    manage = (setup.python, "manage.py")
    found = []
    if setup.valkey is not None:
        binary, port = setup.valkey
        found.append(Program(name="valkey", command=_valkey(binary, port, setup.data), priority=10))
    if setup.simulator:
        found.append(Program(name="simulator", command=(*manage, "run_simulator"), priority=20))
    health = f"{setup.url}/health"
    web = Program(
        name="web",
        command=(*manage, "serve"),
        priority=40,
        stop_seconds=WEB_STOP_SECONDS,
        health={"kind": "http", "url": health},
        labels={"bonghwa.http": health},
    )
    beat = (setup.python, "-m", "celery", "-q", "-A", "portal", "beat", "--loglevel", "WARNING", "--pidfile=")
    return (
        *found,
        Program(name="gateway", command=(*manage, "run_gateway"), priority=30),
        web,
        _worker(setup, "collect"),
        _worker(setup, "ops"),
        Program(name="beat", command=beat, priority=60, health=_heartbeat("beat", 30)),
    )


def _valkey(binary: str, port: int, data: Path) -> tuple[str, ...]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data / "valkey"),
        "save": "60 1",
        "maxmemory": VALKEY_MEMORY,
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return (binary, *(part for name, value in options.items() for part in (f"--{name}", value)))


def _worker(setup: Setup, queue: str) -> Program:
    """Prefork children: a time limit can kill a hung task, which threads and solo cannot.

    Two of them: a probe that waits for its timeout holds no sweep up, freezing evidence no live log.
    """
    name = f"{queue}@{setup.host}"
    command = (
        *(setup.python, "-m", "celery", "-q", "-A", "portal", "worker", "-Q", queue, "-n", name),
        *("--pool", "prefork", "--concurrency", "2", "--max-memory-per-child", "250000"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
    )
    return Program(
        name=f"worker-{queue}",
        command=command,
        priority=50,
        environment=ENVIRONMENT | {"MALLOC_ARENA_MAX": str(WORKER_ARENAS)},
        health=_heartbeat(f"worker:{name}", 45),
    )


def _heartbeat(name: str, max_age_s: int) -> dict[str, Any]:
    return {"kind": "heartbeat", "key": f"heartbeat:{name}", "max_age_s": max_age_s}


def descriptor(program: Program, setup: Setup) -> dict[str, Any]:
    """Return what the process runtime reads about ``program``."""
    return {
        "name": program.name,
        "log": str(setup.data / "logs" / f"{program.name}.log"),
        "health": program.health,
        "labels": {"bonghwa.own": "true", **(program.labels or {})},
    }


def configuration(setup: Setup) -> str:
    """Return supervisord's configuration file."""
    sections = [
        _section(
            "supervisord",
            nodaemon="true",
            silent="true",
            **({"user": "root"} if setup.root else {}),
            directory=setup.base,
            pidfile=setup.data / "supervisord.pid",
            logfile=setup.data / "logs" / "supervisord.log",
            logfile_maxbytes=LOG_BYTES,
            logfile_backups=LOG_BACKUPS,
            childlogdir=setup.data / "logs",
        ),
        _section("unix_http_server", file=setup.socket, chmod="0700"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("include", files=setup.data / "processes" / "*.conf"),
        *(_program(program, setup) for program in programs(setup)),
    ]
    return "\n".join(sections)


def _program(program: Program, setup: Setup) -> str:
    return _section(
        f"program:{program.name}",
        command=" ".join(map(_quoted, program.command)),
        directory=setup.base,
        environment=",".join(f'{name}="{value}"' for name, value in program.environment.items()),
        priority=program.priority,
        autorestart="true",
        startsecs=START_SECONDS,
        startretries=START_RETRIES,
        stopwaitsecs=program.stop_seconds,
        stopasgroup="true",
        killasgroup="true",
        redirect_stderr="true",
        # supervisord expands this option twice.
        stdout_logfile=str(setup.data / "logs" / f"{program.name}.log").replace("%", "%%"),
        stdout_logfile_maxbytes=LOG_BYTES,
        stdout_logfile_backups=LOG_BACKUPS,
    )


def _section(title: str, **options: object) -> str:
    """Return one section; ``%`` is doubled, since supervisord expands it."""
    lines = [f"{name}={str(value).replace('%', '%%')}" for name, value in options.items()]
    return "\n".join([f"[{title}]", *lines, ""])


def _quoted(part: str) -> str:
    plain = part and not set(part) & set(" \t\"'\\;")
    return part if plain else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
