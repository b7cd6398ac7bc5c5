"""The dashboard of a local Ray starts beside its workers, and ends with the command."""

import logging
import threading
import time
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock

import pytest
from ray._private.node import Node

from orchestrator.cluster import dashboard
from orchestrator.cluster.dashboard import end_ray, start_dashboard, without_dashboard

WAIT = 30


class LocalNode:
    """What of Ray's node is used; it has a dashboard once that was started."""

    def __init__(
        self,
        *,
        asked: bool = True,
        head: bool = True,
        url: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self.head, self.webui_url = head, url
        self._ray_params = SimpleNamespace(include_dashboard=asked)
        self._error = error
        self.started: list[tuple[str, threading.Thread]] = []

    def start_monitor(self) -> None:
        self.started.append(("monitor", threading.current_thread()))

    def start_api_server(self, *, include_dashboard: bool, raise_on_failure: bool) -> None:
        assert include_dashboard
        assert raise_on_failure
        self.started.append(("dashboard", threading.current_thread()))
        if self._error is not None:
            logging.getLogger("ray._private.services").error("Failed to start the dashboard")
            raise self._error
        self.webui_url = "127.0.0.1:8265"

    def get_logs_dir_path(self) -> str:
        return "/tmp/ray/session/logs"


def said_by(monkeypatch, node: object, n_calls: int = 1) -> list[str]:
    """Start the dashboard of a node some times; return what was said once something was."""
    monkeypatch.setattr(dashboard, "_node", lambda: node)
    said: list[str] = []
    for _ in range(n_calls):
        start_dashboard(said.append)
        wait_until(lambda: said)
    return said


def wait_until(condition) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_local_ray_is_started_without_its_dashboard() -> None:
    before = Node.start_api_server, Node.start_monitor
    with without_dashboard():
        assert Node.start_api_server(None, include_dashboard=True, raise_on_failure=True) is None
        assert Node.start_monitor(None) is None
    assert before == (Node.start_api_server, Node.start_monitor)
    with pytest.raises(OSError), without_dashboard():
        raise OSError
    assert before == (Node.start_api_server, Node.start_monitor)


def test_the_thread_that_has_started_the_dashboard_lasts(monkeypatch) -> None:
    node = LocalNode()
    [line] = said_by(monkeypatch, node)
    assert line.startswith("Ray dashboard: http://127.0.0.1:8265 ")
    assert [name for name, _ in node.started] == ["monitor", "dashboard"]
    [thread] = {thread for _, thread in node.started}
    thread.join(0.05)  # Linux ends the children of a thread with it
    assert thread.is_alive()
    assert thread.daemon


@pytest.mark.parametrize("error", [None, OSError("no free port")])
def test_a_dashboard_that_is_asked_for_again_is_started_and_spoken_of_once(
    monkeypatch, error
) -> None:
    node = LocalNode(error=error)
    assert len(said_by(monkeypatch, node, 3)) == 1
    assert [name for name, _ in node.started] == ["monitor", "dashboard"]


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (LocalNode(asked=False), "Ray dashboard: none"),
        (LocalNode(head=False), "Ray dashboard: none"),
        (LocalNode(head=False, url="10.0.0.1:8265"), "Ray dashboard: http://10.0.0.1"),
    ],
)
def test_nothing_is_started_that_nobody_asked_for(monkeypatch, node, line) -> None:
    [said] = said_by(monkeypatch, node)
    assert said.startswith(line)
    assert node.started == []


AS_RAY_RAISES_IT = """
The last 20 lines of /tmp/ray/session/logs/dashboard.log (it contains the error message): \n
Traceback (most recent call last):\n
OSError: no free port\n
"""


@pytest.mark.parametrize(
    ("error", "why"),
    [(Exception(AS_RAY_RAISES_IT), "OSError: no free port"), (AssertionError(), "AssertionError")],
)
def test_a_dashboard_that_does_not_start_is_one_line_and_ends_nothing(
    monkeypatch, caplog, error, why
) -> None:
    logger = logging.getLogger("ray._private.services")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    said = said_by(monkeypatch, LocalNode(error=error))
    assert said == [f"no Ray dashboard: {why}; its logs are in /tmp/ray/session/logs"]
    logger.error("of another thread")
    assert caplog.messages == ["of another thread"]


@pytest.mark.parametrize("error", [None, AttributeError("'NoneType' object has no attribute")])
def test_what_becomes_of_a_dashboard_while_ray_ends_is_not_said(monkeypatch, error) -> None:
    node, said = MagicMock(webui_url="127.0.0.1:8265"), []
    node.start_api_server.side_effect = error
    monkeypatch.setattr(dashboard, "_node", lambda: node)
    monkeypatch.setattr(dashboard, "ray", MagicMock())
    end_ray()
    dashboard._start(node, said.append)  # Ray resets what this reads before it has ended
    assert said == []
    assert node.start_api_server.called


def test_the_monitor_which_does_not_end_when_asked_is_ended_first(monkeypatch) -> None:
    calls = MagicMock()
    calls.node = Mock(all_processes={"monitor": []})
    calls.ray.is_initialized.return_value = True
    monkeypatch.setattr(dashboard, "_node", lambda: calls.node)
    monkeypatch.setattr(dashboard, "ray", calls.ray)
    end_ray()
    named = [name for name, *_ in calls.mock_calls]
    assert named == ["ray.is_initialized", "node.kill_monitor", "ray.shutdown"]
    calls.ray.is_initialized.return_value = False
    calls.reset_mock()
    end_ray()
    assert [name for name, *_ in calls.mock_calls] == ["ray.is_initialized"]


def test_a_ray_whose_node_has_no_such_methods_starts_by_itself(monkeypatch) -> None:
    monkeypatch.setattr(dashboard, "NOT_NEEDED_BY_WORKERS", ("start_monitor", "of_another_version"))
    before = Node.start_monitor
    with without_dashboard():
        assert Node.start_monitor is not before
        assert not hasattr(Node, "of_another_version")
    assert Node.start_monitor is before
