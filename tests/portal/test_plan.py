"""supervisord's configuration and the descriptors, read back by supervisord's own parser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from portal.supervise.plan import Setup, configuration, descriptor, programs


def setup_of(data: Path, **changes: object) -> Setup:
    values: dict[str, Any] = {
        "base": data,
        "data": data,
        "python": "/opt/a venv/bin/python",
        "bind": "127.0.0.1",
        "port": 5111,
        "host": "box",
        "simulator": True,
        "valkey": ("/opt/valkey-server", 5113),
        "root": os.geteuid() == 0,
    }
    return Setup(**(values | changes))


@pytest.fixture
def parsed(tmp_path: Path) -> ServerOptions:
    data = tmp_path / "100%"
    (data / "logs").mkdir(parents=True)
    (data / "processes").mkdir()
    path = data / "supervisord.conf"
    path.write_text(configuration(setup_of(data)))
    options = ServerOptions()
    options.realize(["-c", str(path), "-n"], doc="test")
    return options


def test_supervisord_reads_every_program_in_the_order_of_start(parsed: ServerOptions) -> None:
    names = [group.name for group in sorted(parsed.process_group_configs)]

    assert names[:4] == ["valkey", "simulator", "gateway", "web"]
    assert set(names[4:]) == {"worker-collect", "worker-ops", "beat"}


def test_a_child_is_restarted_with_a_limit_and_stopped_with_its_children(parsed: ServerOptions) -> None:
    for group in parsed.process_group_configs:
        (process,) = group.process_configs
        assert process.startretries > 3
        assert process.stopasgroup
        assert process.killasgroup
        assert process.autorestart
        assert process.stdout_logfile_maxbytes == 10 * 1024 * 1024
        assert process.stdout_logfile_backups == 3


def test_a_worker_s_many_threads_share_few_memory_pools(parsed: ServerOptions) -> None:
    found = {group.name: group.process_configs[0].environment for group in parsed.process_group_configs}

    workers = {name for name in found if name.startswith("worker-")}
    assert {name for name, one in found.items() if one.get("MALLOC_ARENA_MAX") == "2"} == workers
    assert all(one["PYTHONUNBUFFERED"] == "1" for one in found.values())


def test_paths_with_spaces_and_percent_signs_survive(parsed: ServerOptions, tmp_path: Path) -> None:
    (web,) = (group for group in parsed.process_group_configs if group.name == "web")
    (process,) = web.process_configs

    assert process.command.startswith('"/opt/a venv/bin/python" manage.py serve')
    assert process.stdout_logfile == str(tmp_path / "100%" / "logs" / "web.log")


def test_valkey_and_the_simulator_run_only_where_they_are_needed(tmp_path: Path) -> None:
    names = {program.name for program in programs(setup_of(tmp_path, valkey=None, simulator=False))}

    assert names == {"gateway", "web", "worker-collect", "worker-ops", "beat"}


def test_valkey_is_bound_to_loopback_and_to_a_bound_of_memory(tmp_path: Path) -> None:
    command = " ".join(programs(setup_of(tmp_path))[0].command)

    assert "--bind 127.0.0.1" in command
    assert "--maxmemory 256mb" in command


def test_descriptors_say_how_each_process_proves_that_it_lives(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, bind="::")
    found = {program.name: descriptor(program, setup) for program in programs(setup)}

    assert found["web"]["health"] == {"kind": "http", "url": "http://[::1]:5111/health"}
    assert found["worker-ops"]["health"]["key"] == "heartbeat:worker:ops@box"
    assert found["beat"]["health"]["key"] == "heartbeat:beat"
    assert found["gateway"]["log"] == str(tmp_path / "logs" / "gateway.log")
