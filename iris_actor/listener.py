"""Listener: what listens at an address, found out by talking to it, for an error that says what is wrong.

gRPC reports most failures to connect in the same words ("Socket closed"), and in other words with each of
its versions. Here a plain socket asks again, after the failure: a TLS greeting gets an answer from everything
that speaks TLS, and servers of HTTP/2, HTTP and SSH give themselves away by what they say instead.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from iris_actor.address import Address

if TYPE_CHECKING:
    import ssl

PATIENCE = 1.0
"""Seconds that each question waits for its answer."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)  # RFC 9113, section 3.4
_SETTINGS = 4  # a server's first frame; the type is in byte 3 (RFC 9113, section 4.1)
_TLS_RECORDS = (0x15, 0x16)  # an alert, a handshake (RFC 8446, section 5.1)
_WRONG_NAME = {62, 64}  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """What this side of a connection uses TLS with: PEM files, and the name that it expects."""

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None


class FaultKind(Enum):
    """What is wrong with a connection."""

    NOBODY = "nobody"
    """Nothing listens there, or there is no such host."""
    CREDENTIALS = "credentials"
    """TLS on one side only, or a certificate that the other side does not accept."""
    STRANGER = "stranger"
    """What listens is no gRPC server."""
    SILENT = "silent"
    """What listens accepts connections, and says nothing or closes them: it may be on its way up or down."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why no connection comes about: a kind, and a sentence for the user."""

    kind: FaultKind
    sentence: str


def find_fault(address: Address, tls: TLSFiles | None, patience: float = PATIENCE) -> Fault | None:
    """Why a gRPC connection to `address` fails; None when nothing is found that would explain it. Blocks.

    Args:
        address: where to connect.
        tls: what the connection uses TLS with; None for one in clear text.
        patience: seconds that each of up to three questions waits for an answer.
    """
    try:
        said = _first_words(address, _tls_greeting(), patience)
        if not said:
            said = _first_words(address, _PREFACE, patience)
    except TimeoutError:
        return Fault(FaultKind.SILENT, f"{address} accepts connections and says nothing")
    except ConnectionRefusedError:
        return Fault(FaultKind.NOBODY, f"nothing listens at {address} (connection refused)")
    except socket.gaierror as error:
        return Fault(FaultKind.NOBODY, f"there is no host {address.host!r} ({error.strerror})")
    except OSError:
        return None
    speaks_tls = len(said) > 1 and said[0] in _TLS_RECORDS and said[1] == 3
    if speaks_tls and tls is None:
        return Fault(
            FaultKind.CREDENTIALS,
            f"{address} uses TLS and this side does not: give it the ca that signed the server's certificate"
            " (and cert and key, where the server asks for a certificate)",
        )
    if speaks_tls:
        assert tls is not None  # noqa: S101 - or it was the case above
        return _certificate_fault(address, tls, patience)
    if len(said) > 3 and said[3] == _SETTINGS:
        if tls is None:
            return None
        return Fault(
            FaultKind.CREDENTIALS,
            f"{address} does not use TLS and this side does: leave out ca, cert and key, or give the server"
            " a certificate",
        )
    if not said:
        return Fault(FaultKind.SILENT, f"{address} closes connections without a word")
    return Fault(FaultKind.STRANGER, f"no gRPC server listens at {address}, but {_described(said)}")


def _first_words(address: Address, greeting: bytes, patience: float) -> bytes:
    """What the far side answers to `greeting`; nothing when it closes the connection.

    Raises:
        TimeoutError: it says nothing.
        OSError: there is no connection.
    """
    with _connect(address, patience) as connection:
        try:
            connection.sendall(greeting)
            return connection.recv(64)
        except ConnectionError:
            return b""


def _connect(address: Address, patience: float) -> socket.socket:
    error: OSError | None = None
    for one in address.candidates:
        try:
            return socket.create_connection((one.host, one.port), patience)
        except OSError as caught:
            # A refusal says more than that there is no IPv6 here.
            error = caught if not isinstance(error, ConnectionRefusedError) else error
    assert error is not None  # noqa: S101 - there is at least one candidate
    if isinstance(error, TimeoutError):
        raise OSError(str(error)) from error  # not connected, and so not silent
    raise error


def _tls_greeting() -> bytes:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def _described(said: bytes) -> str:
    if said.startswith(b"HTTP/"):
        return "a server of HTTP/1"
    if said.startswith(b"SSH-"):
        return "an SSH server"
    return f"something that begins with {said[:20]!r}"


def _certificate_fault(address: Address, tls: TLSFiles, patience: float) -> Fault | None:
    """What is wrong with the certificates of two sides that both use TLS."""
    import ssl

    def fault(sentence: str) -> Fault:
        return Fault(FaultKind.CREDENTIALS, sentence)

    try:
        context = _context(tls)
    except (OSError, ValueError) as error:
        return fault(f"cannot use the files {_named(tls)} for {address}: {error}")
    name = tls.server_name or address.host
    shown = (
        f"does not accept cert={str(tls.cert)!r}" if tls.cert else "asks for a certificate: give cert and key"
    )
    refused = fault(f"{address} {shown} (it takes certificates that its own ca signed)")
    try:
        with _connect(address, patience) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
            # In TLS 1.3 a server says no after the client has all that it needs. A gRPC server speaks first.
            return refused if not secure.recv(1) else None
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _WRONG_NAME:
            return fault(
                f"the certificate of {address} is for another name than {name!r}: call the server by the name"
                " in its certificate, or give that as server_name"
            )
        against = (
            f"ca={str(tls.ca)!r}" if tls.ca else "the authorities that this machine knows, for want of a ca"
        )
        return fault(f"the certificate of {address} does not match {against}: {error.verify_message}")
    except ssl.SSLError as error:
        about_certificate = any(word in str(error.reason) for word in ("CERTIFICATE", "UNKNOWN_CA", "EOF"))
        return refused if about_certificate else fault(f"no TLS with {address}: {error.reason or error}")
    except ConnectionError:
        return refused
    except OSError:
        return None


def _context(tls: TLSFiles) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    if tls.ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _named(tls: TLSFiles) -> str:
    files = {"ca": tls.ca, "cert": tls.cert, "key": tls.key}
    return ", ".join(f"{name}={str(path)!r}" for name, path in files.items() if path)
