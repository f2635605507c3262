"""Certificates that a test makes for itself, with the `openssl` command."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate of 127.0.0.1 that is its own authority, and its private key."""

    path: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server needs to serve with it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context


def self_signed(folder: Path) -> Certificate:
    """Make one in a folder, valid for a day."""
    certificate = Certificate(folder / "ca.pem", folder / "key.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    subprocess.run(
        [
            *command.split(),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(certificate.key), "-out", str(certificate.path)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate
