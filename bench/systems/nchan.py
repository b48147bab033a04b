"""nginx with the nchan module: rows are posted over HTTP, one to a message or joined as the gateway joins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import payload
from bench.load import Endpoint, Publisher
from bench.processes import free_port, running
from bench.systems.base import Place, is_root, only_child

MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so")
CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 128k;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /pub {{
            nchan_publisher http;
            nchan_channel_id $arg_id;
            nchan_message_buffer_length 2000;
            nchan_message_timeout 30s;
        }}
        location = /sub {{
            nchan_subscriber websocket;
            nchan_channel_id $arg_id;
            nchan_channel_id_split_delimiter ",";
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }}
    }}
}}
"""


class Nchan:
    """See the module. ``join``: the publisher joins the rows of a millisecond into one message."""

    def __init__(self, *, join: bool = False) -> None:
        self._join = 100 if join else 1
        self.name = "nginx + nchan, joined by the publisher" if join else "nginx + nchan"

    def missing(self) -> str:
        """Return which part is not installed."""
        if not nginx_program():
            return "nginx is not installed"
        return "" if _module() else "libnginx-mod-nchan is not installed"

    def version(self) -> str:
        """Return nginx's version and the package's."""
        program = nginx_program()
        if not program:
            return self.name
        told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - found above
        found = re.search(r"nginx/\S+", told)
        return f"{found[0] if found else 'nginx'} with nchan {_package('libnginx-mod-nchan')}"

    @contextmanager
    def run(self, place: Place, topics: int) -> Iterator[Endpoint]:
        """Run nginx with one worker, on the server's core."""
        program, port = nginx_program(), free_port()
        config = place.folder / "nginx.conf"
        user = "user root;" if is_root() else ""
        config.write_text(CONFIG.format(module=_module(), user=user, folder=place.folder, port=port))
        command = [program, "-p", str(place.folder), "-c", str(config), "-e", str(place.folder / "error.log")]
        with running(command, core=place.server_core, log=place.folder / "nginx.log", port=port) as master:
            rows = payload.rows(topics)
            yield Endpoint(
                port=port,
                path=f"/sub?id={','.join(rows)}",
                hello=b"",
                ready="",
                publisher=Publisher(kind="http", port=port, join=self._join),
                rows=rows,
                pids=[only_child(master.pid)],
            )


def nginx_program() -> str:
    """Return the path of nginx, or an empty string; Debian keeps it out of the users' PATH."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or ""


def _module() -> str:
    return next((path for path in MODULES if Path(path).exists()), "")


def _package(name: str) -> str:
    program = shutil.which("dpkg-query")
    if program is None:
        return ""
    command = [program, "-W", "-f", "${Version}", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - found above
