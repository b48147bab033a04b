"""nginx as Nginx Proxy Manager 2.15 configures it for one proxy host: the same directives in the same places.

The switches are those of its form; ``advanced`` is the text of *Custom Nginx Configuration*, ``custom`` is
the path of a custom location and the text of its own field.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.proxy.fronts import Front
from tests.servers import DEPLOY, serving
from tests.services import free_port

GUIDE = DEPLOY / "npm.md"
WEBSOCKETS = """
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
    proxy_http_version 1.1;
"""
#: conf.d/include/proxy.conf, which every location ends with.
PROXY = """
add_header X-Served-By $host;
proxy_set_header Host $host;
proxy_set_header X-Forwarded-Scheme $x_forwarded_scheme;
proxy_set_header X-Forwarded-Proto $x_forwarded_proto;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Real-IP $remote_addr;
proxy_pass $forward_scheme://$server:$port$request_uri;
"""
HTTP = """
    default_type application/octet-stream;
    proxy_connect_timeout 90s;
    proxy_send_timeout 90s;
    proxy_read_timeout 90s;
    proxy_http_version 1.1;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Accept-Encoding "";
    map $host $forward_scheme { default http; }
    map $http_x_forwarded_proto $x_forwarded_proto { "http" "http"; "https" "https"; default $scheme; }
    map $http_x_forwarded_scheme $x_forwarded_scheme { "http" "http"; "https" "https"; default $scheme; }
    set_real_ip_from 10.0.0.0/8;
    set_real_ip_from 172.16.0.0/12;
    set_real_ip_from 192.168.0.0/16;
    real_ip_header X-Real-IP;
    real_ip_recursive on;
"""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A proxy host as its form is filled in."""

    websockets: bool = False
    hsts: bool = False
    advanced: str = ""
    #: ``/data/nginx/custom/http.conf``, at the end of the http block.
    http: str = ""
    custom: tuple[str, str] | None = None

    def written(self, web: int, plain: int, tls: int, certificate: Path) -> str:
        """Return what it would write; on loopback, and with one file for certificate and key."""
        upgrade = WEBSOCKETS if self.websockets else ""
        hsts = 'add_header Strict-Transport-Security "max-age=63072000; preload" always;' if self.hsts else ""
        return f"""{HTTP}
server {{
    set $forward_scheme http;
    set $server "127.0.0.1";
    set $port {web};
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl http2;
    server_name 127.0.0.1;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    {hsts}
    {upgrade}
    {self.advanced}
    {self._location(web, upgrade)}
    location / {{
        {hsts}
        {upgrade}
        include conf.d/include/proxy.conf;
    }}
}}
{self.http}
"""

    def _location(self, web: int, upgrade: str) -> str:
        if self.custom is None:
            return ""
        path, text = self.custom
        return f"""
    location {path} {{
        {text}
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-Scheme $scheme;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_pass http://127.0.0.1:{web};
        {upgrade}
    }}
"""


@contextmanager
def running(host: Host, web: int, certificate: Path) -> Iterator[Front]:
    """Run nginx with the configuration of ``host`` in front of ``web``."""
    plain, tls = free_port(), free_port()

    def include(folder: Path) -> None:
        (folder / "conf.d" / "include").mkdir(parents=True)
        (folder / "conf.d" / "include" / "proxy.conf").write_text(PROXY)

    with serving(host.written(web, plain, tls, certificate), tls, include) as folder:
        yield Front(folder, plain, tls)


def advanced_of_the_guide() -> str:
    """Return the text that deploy/npm.md has people paste."""
    return _blocks()[0]


def with_limited_tries() -> Host:
    """Return a proxy host with all that deploy/npm.md has people paste and copy."""
    return Host(
        websockets=True,
        advanced="\n".join(_blocks()),
        http=(DEPLOY / "nginx" / "bonghwa" / "http.conf").read_text(),
    )


def _blocks() -> list[str]:
    (_before, *blocks) = GUIDE.read_text().split("```nginx\n")
    return [block.partition("```")[0] for block in blocks]
