"""Certificates are checked, proxies of the environment are not used, and nothing told holds a secret."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import keys
from gateway.config import SIMULATOR_KEY, AppKey
from tests.gateway.upstream_world import RETRY, SLOT, TOPIC, Desk, Simulator, config_for, gateway, manage
from tests.services import free_port


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """The simulator's process."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def desk(redis_client):
    """A wish for one topic, and what the gateway tells."""
    desk = Desk(redis_client)
    desk.want(TOPIC)
    return desk


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for loopback that nobody signed but itself, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    return folder


@asynccontextmanager
async def encrypted(simulator, certificate):
    """Pass encrypted connections on to the simulator; yields the port and the bytes that came through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    seen: list[bytes] = []

    async def copy(reader, writer, keep):
        try:
            while data := await reader.read(65536):
                if keep:
                    seen.append(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        inner = await asyncio.open_connection("127.0.0.1", simulator.port)
        await asyncio.gather(copy(reader, inner[1], True), copy(inner[0], writer, False))

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield port, seen
    finally:
        server.close()


@pytest.mark.parametrize("part", ["rest_url", "ws_url"])
async def test_a_server_with_a_certificate_of_its_own_is_refused_and_gets_no_secret(
    simulator, desk, certificate, part
):
    async with encrypted(simulator, certificate) as (port, seen):
        scheme = {"rest_url": "https", "ws_url": "wss"}[part]
        config = config_for(simulator, **{part: f"{scheme}://127.0.0.1:{port}"})
        async with gateway(config):
            status = await desk.told(lambda status: status.attempts_total > 1)
            assert "certificate is not trusted (self-signed certificate)" in status.last_error
            assert status.session != "LIVE"
        assert seen == []


@asynccontextmanager
async def proxy():
    """Listen as a proxy would; yields the port and what was said to it."""
    heard: list[bytes] = []

    async def serve(reader, writer):
        heard.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_proxies_of_the_environment_are_not_used(simulator, desk, tmp_path):
    async with proxy() as (port, heard):
        names = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "socks_proxy")
        proxies = {given: f"http://127.0.0.1:{port}" for name in names for given in (name, name.upper())}
        env = {
            "KIWOOM_MODE": "simulator",
            "KIWOOM_REST_URL": f"http://{simulator.address}",
            "KIWOOM_WS_URL": f"ws://{simulator.address}",
            "REDIS_URL": os.environ["REDIS_URL"],
            "GATEWAY_START_JITTER": "0",
            "no_proxy": "",
            "NO_PROXY": "",
            **proxies,
        }
        with manage(tmp_path, "run_gateway", **env):
            await desk.session("LIVE", within=30)
            assert await desk.rows()
        assert heard == []


@pytest.mark.parametrize(
    "fault", ["none", "login-reject", "login-reject-8050", "kick", "token-429", "refuse"]
)
async def test_no_log_line_and_nothing_in_redis_holds_a_secret(simulator, desk, tmp_path, fault):
    simulator.switch(fault)
    env = {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_REST_URL": f"http://{simulator.address}",
        "KIWOOM_WS_URL": f"ws://{simulator.address}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "GATEWAY_START_JITTER": "0",
        "GATEWAY_RETRY_BASE": "0.05",
        "LOG_LEVEL": "DEBUG",
    }
    try:
        with desk.client.pubsub() as bus, manage(tmp_path, "run_gateway", **env):
            bus.psubscribe(f"{keys.PREFIX}*")
            assert bus.get_message(timeout=5.0)  # the confirmation
            await desk.told(lambda status: status.attempts_total > 0, within=30)
            if fault == "none":
                await desk.rows()
            else:
                await desk.until(lambda: any(one.outcome != "live" for one in desk.attempts()))
            published = []
            while message := bus.get_message(ignore_subscribe_messages=True, timeout=0.1):
                published.append(message["data"])
        stored = [repr(_value(desk.client, name)).encode() for name in desk.client.keys("*")]
        # A token is base64 text of 64 characters; the simulator gives the same one again to whoever asks.
        token = await asyncio.to_thread(_token, simulator) if fault == "none" else SIMULATOR_KEY[1]
        told = (tmp_path / "run_gateway.log").read_bytes() + b"".join(published) + b"".join(stored)
        assert b"key-1" in told
        for secret in (*SIMULATOR_KEY, token):
            assert secret.encode() not in told
    finally:
        simulator.switch("none")


def _value(client, name):
    """Return everything under one name."""
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1),
    }
    return read[client.type(name)](name)


def _token(simulator) -> str:
    body = {"grant_type": "client_credentials", "appkey": SIMULATOR_KEY[0], "secretkey": SIMULATOR_KEY[1]}
    return str(httpx.post(f"http://{simulator.address}/oauth2/token", json=body).json()["token"])


def test_no_repr_of_the_configuration_holds_a_secret(simulator):
    config = replace(config_for(simulator, retry=RETRY), keys=(AppKey(SLOT, "public-part", "secret-part"),))
    for shown in (repr(config), str(config), f"{config.keys}"):
        assert "public-part" not in shown
        assert "secret-part" not in shown
