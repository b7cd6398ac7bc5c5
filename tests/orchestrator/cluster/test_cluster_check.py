"""RAY_ADDRESS of a cluster that is not there: soon, with the address and the cure."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from ray._common.tls_utils import generate_self_signed_tls_certs
from ray._private import services
from ray._private.authentication import (
    authentication_utils,
    grpc_authentication_client_interceptor,
)
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from orchestrator.cli.errors import InputError
from orchestrator.cluster.address import cluster_address
from orchestrator.cluster.cluster_check import ANSWER_SECONDS, check_cluster
from tests.builders.tcp_listeners import HTML, answering_port, closed_port, silent_port

CURE = "unset RAY_ADDRESS to use this machine"
NODE = "ab" * 28


def refusal(address: str, seconds: float = 0.3) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        check_cluster(address, seconds)
    assert time.monotonic() - start < seconds + 5
    assert ANSWER_SECONDS <= 15
    [line] = caught.value.lines
    assert "\n" not in line
    return line


def test_a_port_that_nothing_listens_on_is_reported() -> None:
    port = closed_port()
    message = refusal(f"127.0.0.1:{port}")
    assert message.startswith(f"RAY_ADDRESS=127.0.0.1:{port}: no Ray cluster answers")
    assert "refused" in message
    assert CURE in message


def test_a_host_that_swallows_packets_is_given_up() -> None:
    with silent_port() as port:
        message = refusal(f"127.0.0.1:{port}")
    assert "within" in message
    assert CURE in message


def test_something_else_that_answers_is_no_cluster() -> None:
    with answering_port(HTML) as port:
        assert "no Ray cluster" in refusal(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "address",
    [
        "ray://127.0.0.1:10001",
        "ray://user:secret-word@head:10001",
        "http://127.0.0.1:8265",
        "user:secret-word@head:6379",
        "head",
        "head:",
        ":6379",
        "head:abc",
        "head:0",
        "head:65536",
        "head:6379/path",
    ],
)
def test_another_form_of_address_is_refused_without_its_secrets(address) -> None:
    message = refusal(address)
    assert "expected auto, or the HOST:PORT" in message
    assert "secret-word" not in message


def test_auto_without_a_cluster_is_reported(monkeypatch) -> None:
    def nothing(address: str) -> str:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(services, "canonicalize_bootstrap_address_or_die", nothing)
    assert refusal("auto").startswith("RAY_ADDRESS=auto: no Ray runs on this machine; ")


class Gcs(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """The part of a cluster's control store that says which nodes live."""

    def CheckAlive(self, request, context):  # noqa: N802
        return gcs_service_pb2.CheckAliveReply()

    def GetAllNodeInfo(self, request, context):  # noqa: N802
        reply = gcs_service_pb2.GetAllNodeInfoReply()
        for number, state in ((NODE, 0), ("cd" * 28, 1)):
            reply.node_info_list.add(node_id=bytes.fromhex(number), state=state)
        return reply


class Guarded(Gcs):
    """One that asks for a token."""

    def CheckAlive(self, request, context):  # noqa: N802
        if ("authorization", "Bearer token") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "token")
        return super().CheckAlive(request, context)


@contextmanager
def cluster(gcs: Gcs, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(gcs, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def test_a_cluster_with_a_node_on_this_machine_is_accepted(monkeypatch) -> None:
    monkeypatch.setattr(services, "find_node_ids", lambda: {NODE})
    with cluster(Gcs()) as address:
        check_cluster(address, seconds=10)


@pytest.mark.parametrize("here", [set(), {"cd" * 28}, {"ef" * 28}])
def test_a_cluster_without_a_living_node_on_this_machine_is_reported(monkeypatch, here) -> None:
    monkeypatch.setattr(services, "find_node_ids", lambda: here)
    with cluster(Gcs()) as address:
        assert "none of its nodes (1) is this machine" in refusal(address)


def test_a_cluster_that_asks_for_a_token_is_left_to_ray() -> None:
    with cluster(Guarded()) as address:
        check_cluster(address, seconds=10)


def give_token(monkeypatch, token: str) -> None:
    """Let this machine have a token for the cluster; "": none."""

    def metadata() -> tuple[tuple[str, str], ...]:
        if not token:
            raise AuthenticationError("no token")
        return (("authorization", f"Bearer {token}"),)

    monkeypatch.setattr(authentication_utils, "is_token_auth_enabled", lambda: True)
    name = "_get_authentication_metadata_tuple"
    monkeypatch.setattr(grpc_authentication_client_interceptor, name, metadata)


def test_a_cluster_without_a_node_here_is_reported_also_with_a_token(monkeypatch) -> None:
    give_token(monkeypatch, "token")
    monkeypatch.setattr(services, "find_node_ids", set)
    with cluster(Guarded()) as address:
        assert "none of its nodes (1) is this machine" in refusal(address)


@pytest.mark.parametrize("token", ["", "another"])
def test_a_token_that_is_missing_or_wrong_is_left_to_ray(monkeypatch, token) -> None:
    give_token(monkeypatch, token)
    with cluster(Guarded()) as address:
        check_cluster(address, seconds=10)


@pytest.fixture
def tls(monkeypatch, tmp_path) -> grpc.ServerCredentials:
    """TLS as Ray's environment variables set it up for nodes and commands."""
    certificate, key = generate_self_signed_tls_certs()
    for name, content in (("SERVER_CERT", certificate), ("SERVER_KEY", key)):
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"RAY_TLS_{name}", str(tmp_path / name))
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "SERVER_CERT"))
    monkeypatch.setenv("RAY_USE_TLS", "1")
    pair = (key.encode(), certificate.encode())
    return grpc.ssl_server_credentials([pair], certificate.encode(), require_client_auth=True)


def test_a_cluster_with_tls_is_accepted(monkeypatch, tls) -> None:
    monkeypatch.setattr(services, "find_node_ids", lambda: {NODE})
    with cluster(Gcs(), tls) as address:
        check_cluster(address, seconds=10)
        monkeypatch.setattr(services, "find_node_ids", set)
        assert "none of its nodes (1) is this machine" in refusal(address)


@pytest.mark.usefixtures("tls")
def test_certificates_that_do_not_fit_are_reported(monkeypatch, tmp_path: Path) -> None:
    with cluster(Gcs()) as address:
        assert "TLS fails; check RAY_USE_TLS" in refusal(address, 5)
        monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "none"))
        assert "certificates can't be read ([Errno 2] " in refusal(address)
        monkeypatch.delenv("RAY_TLS_CA_CERT")
        assert "certificates can't be read (If the environment variable" in refusal(address)


@pytest.mark.parametrize(("given", "joined"), [("", ""), ("local", ""), (" a:1 ", "a:1")])
def test_a_local_ray_is_no_cluster(monkeypatch, given, joined) -> None:
    monkeypatch.setenv("RAY_ADDRESS", given)
    assert cluster_address() == joined
