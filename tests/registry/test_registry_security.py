"""An etcd that asks who is there: user and password, certificates."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from iris_actor import ActorServer, EtcdResolver
from iris_actor.errors import ActorNotFoundError, RegistryError, RegistryUnavailableError
from iris_actor.registry import RegistrationState, connect_registry
from iris_actor.testing import EtcdProcess
from tests.registry.conftest import run_etcdctl
from tests.support.strangers import listener
from tests.support.waiting import Stopwatch, until

TOKEN_TTL = 1


@pytest.fixture(scope="module")
def guarded_etcd():
    """An etcd with users, whose tokens are short-lived: root, and one who has /mine only."""
    with EtcdProcess(options={"auth-token-ttl": str(TOKEN_TTL), "bcrypt-cost": "4"}) as etcd:
        enable_users(etcd)
        yield etcd


def enable_users(etcd):
    for command in (
        "user add root:top",
        "user grant-role root root",
        "role add mine",
        "role grant-permission --prefix=true mine readwrite /mine",
        "user add me:p@ss:/word",
        "user grant-role me mine",
        "auth enable",
    ):
        run_etcdctl(etcd, *command.split())


@pytest.fixture
def mine(guarded_etcd):
    return f"etcd://me:p%40ss%3A%2Fword@127.0.0.1:{guarded_etcd.port}/mine?ttl=2"


def test_a_user_with_a_password_is_let_in(mine, namespace, make_endpoint):
    with connect_registry(mine) as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        until(lambda: directory.endpoints(registration.endpoint.name))
        assert registry.list() == [registration.endpoint]
        registration.close()
        until(lambda: directory.names() == [])


def test_tokens_that_expire_are_replaced(mine, namespace, make_endpoint):
    with connect_registry(mine) as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        clock = Stopwatch()
        until(lambda: clock.seconds > 2.2 * TOKEN_TTL)
        assert registry.list() == [registration.endpoint]
        late = registry.register(make_endpoint())
        until(lambda: late.endpoint in directory.endpoints(late.endpoint.name))
        assert registration.state is RegistrationState.STANDS


def test_a_restart_that_forgets_all_tokens_is_survived(namespace, make_endpoint):
    with EtcdProcess(options={"bcrypt-cost": "4"}) as etcd:
        enable_users(etcd)
        with connect_registry(etcd.url, user="root", password="top", ttl=1) as registry:
            directory = registry.directory(namespace)
            registration = registry.register(make_endpoint())
            until(lambda: directory.endpoints(registration.endpoint.name))
            etcd.restart()
            late = registry.register(make_endpoint(), timeout=10)
            until(lambda: late.endpoint in directory.endpoints(late.endpoint.name))
            until(lambda: registration.state is RegistrationState.STANDS)
            assert len(registry.list(timeout=10)) == 2


@pytest.mark.parametrize(
    ("user", "message"),
    [
        (None, "user name is empty"),
        (("me", "wrong"), "invalid user ID or password"),
        (("nobody", "x"), "invalid user ID or password"),
    ],
)
def test_whoever_is_not_known_gets_an_error_at_once(guarded_etcd, make_endpoint, user, message):
    name, password = user or (None, None)
    clock = Stopwatch()
    with connect_registry(f"{guarded_etcd.url}/mine", user=name, password=password) as registry:
        for use in (lambda: registry.register(make_endpoint()), registry.list):
            with pytest.raises(RegistryError, match=message) as caught:
                use()
            assert not isinstance(caught.value, RegistryUnavailableError)
            assert password is None or password not in str(caught.value)
        assert not registry.directory("ns").wait_synced(0.2)
    assert clock.seconds < 4


def test_whoever_looks_up_with_a_wrong_password_is_told_so(guarded_etcd, namespace, caplog):
    url = f"etcd://me:wrong@127.0.0.1:{guarded_etcd.port}/mine"
    with EtcdResolver(url, namespace=namespace, resolve_timeout=0.5) as resolver:
        with pytest.raises(RegistryError, match="authentication failed") as caught:
            resolver.resolve("actor")
        assert not isinstance(caught.value, RegistryUnavailableError)
        with pytest.raises(ActorNotFoundError, match="authentication failed") as nobody:
            resolver.lookup("actor").call(timeout=0.5).run()
        assert isinstance(nobody.value.__cause__, RegistryError)
    refusals = [record for record in caplog.records if "refuses to show" in record.getMessage()]
    assert len(refusals) == 1
    assert "wrong" not in caplog.text + str(nobody.value)


def test_a_user_who_may_read_one_namespace_only_finds_actors_and_nobody(guarded_etcd, namespace):
    run = partial(run_etcdctl, guarded_etcd, "--user", "root:top")
    run("role", "add", namespace)
    run("role", "grant-permission", "--prefix=true", namespace, "read", f"/iris/endpoints/{namespace}/")
    run("role", "grant-permission", namespace, "read", "/iris/store")
    run("user", "add", f"{namespace}:pw")
    run("user", "grant-role", namespace, namespace)
    url = f"etcd://{namespace}:pw@127.0.0.1:{guarded_etcd.port}"
    with EtcdResolver(url, namespace=namespace) as resolver:
        assert resolver.lookup("actor").size == 0
        with pytest.raises(ActorNotFoundError, match=f"no endpoint serves '{namespace}/actor'") as caught:
            resolver.lookup("actor").call(timeout=1).run()
        assert caught.value.__cause__ is None


def test_a_prefix_that_is_not_the_users_is_refused(guarded_etcd, make_endpoint):
    with connect_registry(f"{guarded_etcd.url}/others", user="me", password="p@ss:/word") as registry:
        with pytest.raises(RegistryError, match="permission denied"):
            registry.register(make_endpoint())
        with pytest.raises(RegistryError, match="permission denied"):
            registry.list()


class Authority:
    """Makes certificates, in files."""

    def __init__(self, folder, name):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._certificate(self._name, self._key, authority=True))

    def _certificate(self, subject, key, *, authority=False):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name):
        """Files of a certificate for `name` and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert_file, key_file = self._folder / f"{name}.cert", self._folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert_file.write_bytes(self._certificate(subject, key))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(cert_file), str(key_file)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def tls_etcd(authority):
    """An etcd that speaks TLS, and asks for a certificate."""
    cert, key = authority.issue("server")
    options = {
        "cert-file": cert,
        "key-file": key,
        "trusted-ca-file": str(authority.ca),
        "client-cert-auth": "true",
    }
    with EtcdProcess(options=options) as etcd:
        yield etcd


def test_certificates_let_a_client_in(tls_etcd, authority, namespace, make_endpoint):
    cert, key = authority.issue("client")
    with connect_registry(f"{tls_etcd.url}?ca={authority.ca}&cert={cert}&key={key}") as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        until(lambda: directory.endpoints(registration.endpoint.name))
        assert registry.list() == [registration.endpoint]


def said_at_once(url: str, **more) -> str:
    """What is said about a registry that no attempt can reach; well before the time that it is given."""
    clock = Stopwatch()
    with connect_registry(url, **more) as registry:
        with pytest.raises(RegistryError) as caught:
            registry.list(timeout=30)
    assert clock.seconds < 15
    assert not isinstance(caught.value, RegistryUnavailableError), "no attempt would mend it"
    return str(caught.value)


def test_a_client_without_certificate_is_kept_out(tls_etcd, authority):
    assert "asks for a certificate: give cert and key" in said_at_once(f"{tls_etcd.url}?ca={authority.ca}")


def test_a_client_with_another_authoritys_certificate_is_kept_out(tls_etcd, authority, tmp_path):
    cert, key = Authority(tmp_path, "theirs").issue("client")
    said = said_at_once(tls_etcd.url, ca=authority.ca, cert=cert, key=key)
    assert f"does not accept cert={cert!r}" in said


def test_a_server_that_another_authority_vouches_for_is_not_trusted(tls_etcd, authority, tmp_path):
    cert, key = authority.issue("client")
    other = Authority(tmp_path, "theirs")
    said = said_at_once(tls_etcd.url, ca=other.ca, cert=cert, key=key)
    assert f"does not match ca={str(other.ca)!r}" in said


def test_plain_text_to_a_tls_port_is_told_so(tls_etcd):
    assert "uses TLS and this side does not" in said_at_once(tls_etcd.url)


def test_tls_to_a_plain_text_port_is_told_so(etcd, authority):
    assert "does not use TLS and this side does" in said_at_once(f"{etcd.url}?ca={authority.ca}")


def test_something_else_at_the_address_is_told():
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert f"no gRPC server listens at {address}, but a server of HTTP/1" in said_at_once(
            f"etcd://{address}"
        )


def test_a_server_that_cannot_announce_itself_says_so_at_once(tls_etcd, namespace):
    clock = Stopwatch()
    with ActorServer(tls_etcd.url, namespace=namespace) as server:
        server.register("a", object())
        with pytest.raises(RegistryError, match="uses TLS and this side does not"):
            server.serve_background()
    assert clock.seconds < 15


def test_of_several_endpoints_one_that_is_none_is_passed_over(etcd, tls_etcd, namespace, make_endpoint):
    url = f"etcd://127.0.0.1:{tls_etcd.port},127.0.0.1:{etcd.port}"
    with connect_registry(url) as registry:
        registration = registry.register(make_endpoint(), timeout=20)
        assert registration.endpoint in registry.list(timeout=20)


def test_files_that_are_no_certificates_are_an_error_in_time(tls_etcd, tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    with connect_registry(tls_etcd.url, ca=bad) as registry:
        with pytest.raises(RegistryError):
            registry.list(timeout=0.5)
