"""Runs inside a container: a service that is well until SIGUSR1, then fails in the way its argument names.

Only the standard library, so that a bare Python makes the image. Every fault is bounded: what burns CPU,
fills a log or takes memory ends by itself after ``PROOF_SECONDS`` (900), and each has its own ceiling.
"""

import base64
import hashlib
import os
import signal
import socket
import ssl
import sys
import threading
import time

PORT = 5111
ENDS_AT = time.monotonic() + float(os.environ.get("PROOF_SECONDS", "900"))
#: Growth of a leak and where it stops.
LEAK_MIB_PER_MIN = float(os.environ.get("PROOF_LEAK_MIB_PER_MIN", "60"))
LEAK_MIB = float(os.environ.get("PROOF_LEAK_MIB", "300"))
OOM_MIB = 512
LINES_PER_S = 10_000
MARK = "/failing"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Connections held open by the server that never speaks.
HELD_MAX = 50

failing = threading.Event()
held: list[socket.socket] = []


def burning() -> bool:
    """Whether a fault may go on."""
    return time.monotonic() < ENDS_AT


def retry_without_pause() -> None:
    """Try a port that refuses again and again, with a line for each twentieth of a second."""
    told = 0.0
    while burning():
        with socket.socket() as upstream:
            upstream.connect_ex(("127.0.0.1", 9))
        if time.monotonic() - told > 0.05:
            told = time.monotonic()
            print("ERROR upstream refused the connection, trying again", flush=True)


def leak() -> None:
    """Keep more and more, at a steady pace whatever else the machine does."""
    kept: list[bytearray] = []
    began = time.monotonic()
    while burning():
        grown = min(LEAK_MIB, (time.monotonic() - began) * LEAK_MIB_PER_MIN / 60)
        while len(kept) < grown:
            kept.append(bytearray(b"\x01") * 2**20)
        time.sleep(0.5)


def take_everything() -> None:
    """Allocate until the kernel ends it."""
    kept = []
    for _ in range(OOM_MIB):
        kept.append(bytearray(b"\x01") * 2**20)
        time.sleep(0.01)


def flood() -> None:
    """Write lines at a fixed rate, in blocks of a twentieth of a second."""
    block = b"".join(b"ERROR order %d rejected by the exchange\n" % n for n in range(LINES_PER_S // 20))
    due = time.monotonic()
    while burning():
        os.write(1, block)
        due = max(due + 0.05, time.monotonic() - 1)
        time.sleep(max(0.0, due - time.monotonic()))


def crash() -> None:
    """End with an error now, and again at each start."""
    with open(MARK, "w"):
        pass
    os._exit(3)


def answer_http(connection: socket.socket) -> None:
    """Answer any request."""
    connection.recv(4096)
    connection.sendall(OK)


def answer_websocket(connection: socket.socket) -> None:
    """Shake hands and say something; while failing, keep the connection and never speak."""
    request = connection.recv(4096)
    keys = [line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
    if not keys:
        return
    accept = base64.b64encode(hashlib.sha1(keys[0].split(b":", 1)[1].strip() + MAGIC).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    if failing.is_set():
        held.append(connection.dup())
        while len(held) > HELD_MAX:
            held.pop(0).close()
        return
    connection.sendall(b"\x81\x05hello\x88\x02\x03\xe8")


def tls_context(name: str) -> ssl.SSLContext:
    """Return a server's context with the certificate of an environment variable."""
    path = f"/{name.lower()}.pem"
    with open(path, "w") as file:
        file.write(os.environ[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def answer_tls(connection: socket.socket) -> None:
    """Shake hands with the certificate of the day."""
    name = "PROOF_EXPIRED" if failing.is_set() else "PROOF_VALID"
    tls_context(name).wrap_socket(connection, server_side=True).close()


#: What runs beside the service once it fails, and what takes its place.
BESIDE = {"leak": leak, "flood": flood}
INSTEAD = {"hot-loop": retry_without_pause, "oom": take_everything, "crash": crash}
ANSWERS = {"websocket": answer_websocket, "tls": answer_tls}


def main(mode: str) -> None:
    """Serve until the container is stopped."""
    if mode == "crash" and os.path.exists(MARK):
        time.sleep(0.5)
        print("ERROR configuration is broken", flush=True)
        os._exit(3)
    listener = socket.create_server(("0.0.0.0", PORT), reuse_port=False)
    listener.settimeout(0.2)
    print(f"INFO {mode} serves", flush=True)
    begun = False
    while True:
        if failing.is_set() and not begun:
            begun = True
            print("WARNING the fault begins", flush=True)
            if mode in INSTEAD:
                INSTEAD[mode]()
            if mode in BESIDE:
                threading.Thread(target=BESIDE[mode], daemon=True).start()
            if mode == "dead-port":
                listener.close()
            if mode in ("dead-port", "hang", "hot-loop", "oom"):
                while True:
                    time.sleep(1)
        try:
            connection, _peer = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(2)
            try:
                ANSWERS.get(mode, answer_http)(connection)
            except OSError:
                continue


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    signal.signal(signal.SIGUSR1, lambda *_: failing.set())
    main(sys.argv[1])
