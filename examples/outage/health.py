"""Health check inside the container: ``GET /health`` must answer 200 (the Engine kills it after a second)."""

import os
import socket
import sys

port = int(os.environ.get("OUTAGE_PORT", "5111"))
with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line = connection.recv(200).split(b"\r\n")[0].decode()
print(line)
sys.exit(0 if " 200 " in line else 1)
