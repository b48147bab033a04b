"""Many calls at once through a proxy that is reached over HTTP."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Thread

import pytest

from portal.monitoring.runtimes.docker import DockerRuntime

CALLS = 20
BODY = b'{"State": {"Status": "running"}}'


class Proxy(BaseHTTPRequestHandler):
    """Answers once ``CALLS`` have come, so that each needs a connection of its own."""

    protocol_version = "HTTP/1.1"
    together = Barrier(CALLS, timeout=20)

    def do_GET(self) -> None:
        body = BODY
        if self.path == "/version":
            body = b'{"ApiVersion": "1.43"}'
        else:
            self.together.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_sweep_over_http_keeps_its_connections_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = Thread(target=server.serve_forever)
    thread.start()
    runtime = DockerRuntime(f"tcp://127.0.0.1:{server.server_port}")
    try:
        with caplog.at_level(logging.WARNING), ThreadPoolExecutor(CALLS) as pool:
            runtime._client()
            seen = list(pool.map(runtime.inspect, map(str, range(CALLS))))
    finally:
        runtime.close()
        server.shutdown()
        thread.join()
        server.server_close()

    assert {str(one.state) for one in seen} == {"running"}
    assert caplog.records == []
