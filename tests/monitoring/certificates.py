"""Certificates made on the spot, and a TLS server that shows one."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "good.example"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._cert = self._build("Test authority", self._key.public_key(), days=(-30, 365), is_ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def _build(
        self, name: str, public: ec.EllipticCurvePublicKey, *, days: tuple[float, float], is_ca: bool,
        issuer: str = "Test authority", signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:  # fmt: skip
        now = datetime.now(UTC)
        signer = signer or self._key
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .add_extension(_usage(is_ca), critical=True)
        )
        if not is_ca:
            names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            wanted = names if name == HOST else names[:1]
            builder = builder.add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def issue(self, name: str, *, days: tuple[float, float] = (-1, 90), self_signed: bool = False) -> Path:
        """Return a PEM file with a certificate for ``name`` and its key; ``days`` from now it is valid."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (name, key) if self_signed else ("Test authority", self._key)
        cert = self._build(name, key.public_key(), days=days, is_ca=False, issuer=issuer, signer=signer)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / f"{cert.serial_number}.pem"
        path.write_bytes(cert.public_bytes(serialization.Encoding.PEM) + pem)
        return path


def _usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def server_context(pem: Path) -> ssl.SSLContext:
    """A server's TLS context with one certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@contextmanager
def tls_server(pem: Path, names: list[str | None] | None = None) -> Iterator[int]:
    """Shake hands with whoever comes and close; yields the port. ``names`` collects the names asked for."""
    context = server_context(pem)
    if names is not None:
        context.sni_callback = lambda _socket, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
