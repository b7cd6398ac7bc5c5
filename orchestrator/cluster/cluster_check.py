"""Check the cluster that RAY_ADDRESS names, before Ray tries to connect for many minutes."""

import time
from typing import Any, Final

import grpc
from ray._private import services
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from orchestrator.cli.errors import InputError
from orchestrator.cluster.address import VARIABLE
from trainables.storage.redaction import redact

ANSWER_SECONDS: Final = 12.0
"""Timeout for the cluster's answer, and for a node of it to be found on this machine."""
CURE: Final = f"start the cluster, give another address, or unset {VARIABLE} to use this machine"
MESSAGES: Final[Any] = gcs_service_pb2
"""Ray's generated classes, which have no types."""
OPTIONS: Final = (("grpc.enable_http_proxy", 0),)  # as Ray itself connects


def check_cluster(given: str, seconds: float = ANSWER_SECONDS) -> None:
    """Check that a cluster answers and has a node on this machine.

    given: ``auto``, or the HOST:PORT of its control store. seconds: timeout. Raises InputError with
    the address, without secrets, and the cure.
    """
    deadline = time.monotonic() + seconds
    address = _resolve(given)
    with _open_channel(given, address) as channel:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            stub.CheckAlive(MESSAGES.CheckAliveRequest(), timeout=seconds)
        except AuthenticationError:
            return  # this machine has no token; Ray says how to get one
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return  # it lives, and Ray reports that the token is not the cluster's
            raise InputError(f"{_name(given)}: {_why(error, address, seconds)}; {CURE}") from None
        _await_node(given, stub, deadline)


def _open_channel(given: str, address: str) -> Any:
    """Open a channel as Ray does, with its TLS and token; raise InputError without certificates."""
    try:
        return init_grpc_channel(address, OPTIONS)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{_name(given)}: RAY_USE_TLS is set, but its certificates can't be read ({error}); "
            "set RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT to files of the "
            "cluster"
        ) from None


def _resolve(given: str) -> str:
    """Return HOST:PORT; raise InputError for another form of address, or if ``auto`` finds none."""
    if given == "auto":
        try:
            return services.canonicalize_bootstrap_address_or_die(given)
        except (ConnectionError, ValueError):
            raise InputError(f"{_name(given)}: no Ray runs on this machine; {CURE}") from None
    scheme, _, _ = given.rpartition("://")
    host, _, port = given.rpartition(":")
    if scheme or "@" in given or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            f"{_name(given)}: expected auto, or the HOST:PORT of the cluster's head, such as "
            "10.0.0.1:6379 (not the address of its dashboard or of Ray Client); run the command on "
            "a node of the cluster"
        )
    return given


def _name(given: str) -> str:
    """Name the variable and its value, without a password."""
    secret, at, rest = given.rpartition("@")
    if at and "://" not in secret:
        given = f"***@{rest}"
    return redact(f"{VARIABLE}={given}")


def _why(error: Any, address: str, seconds: float) -> str:
    """Describe in a few words why no cluster answers."""
    code, details = error.code(), str(error.details())
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no Ray cluster answers at {address} within {seconds:.0f} s"
    if code == grpc.StatusCode.UNIMPLEMENTED or "http1" in details:
        return f"what answers at {address} is not a Ray cluster"
    for sign, meaning in (
        ("refused", "connection refused"),
        ("DNS", "unknown host"),
        ("resol", "unknown host"),
        ("unreachable", "unreachable"),
        ("handshake", "TLS fails; check RAY_USE_TLS and the certificates in RAY_TLS_*"),
    ):
        if sign in details:
            return f"no Ray cluster answers at {address}: {meaning}"
    return f"no Ray cluster answers at {address}"


def _await_node(given: str, stub: Any, deadline: float) -> None:
    """Wait until a living node of the cluster is found on this machine, as Ray needs one here."""
    alive = MESSAGES.GetAllNodeInfoRequest()
    while True:
        left = deadline - time.monotonic()
        try:
            reply = stub.GetAllNodeInfo(alive, timeout=max(left, 1.0))
        except grpc.RpcError:
            return  # Ray itself reports what the cluster does not allow
        of_cluster = {one.node_id.hex() for one in reply.node_info_list if one.state == 0}
        here = set(services.find_node_ids())  # type: ignore[no-untyped-call]
        if of_cluster & here:
            return
        if left <= 0:
            raise InputError(
                f"{_name(given)}: the cluster is up, but none of its nodes ({len(of_cluster)}) is "
                "this machine; run the command on a node of it, or unset "
                f"{VARIABLE} to use this machine"
            )
        time.sleep(0.5)
