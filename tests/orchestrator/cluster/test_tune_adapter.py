"""What is made of the exceptions that Tune keeps of its trials: no Ray is started."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray
from ray import cloudpickle
from ray.tune.execution import class_cache

from orchestrator.cluster import tune_adapter
from orchestrator.cluster.job_runner import QueueLost
from orchestrator.cluster.tune_adapter import TrialFailed
from trainables.exceptions import Failure


@dataclass
class KeptTrial:
    """A trial as Tune keeps it: its errors as text, and the last of them pickled."""

    error_file: str
    pickled_error_file: str | None
    config: dict[str, str] = field(default_factory=lambda: {"trial": "a"})


def kept(home: Path, error: Exception | None, text: str) -> KeptTrial:
    (home / "error.txt").write_text(text)
    if error is None:
        return KeptTrial(str(home / "error.txt"), None)
    raised = ray.exceptions.RayTaskError("train", text, error).as_instanceof_cause()
    (home / "error.pkl").write_bytes(cloudpickle.dumps(raised))
    return KeptTrial(str(home / "error.txt"), str(home / "error.pkl"))


def test_a_failed_trial_has_the_kind_that_its_worker_named(tmp_path) -> None:
    trial = kept(tmp_path, TrialFailed("diverged", "Diverged: no"), "Ray's own traceback")
    assert tune_adapter._failure_of(trial) == Failure("diverged", "Diverged: no")


def test_an_error_of_the_proxy_itself_is_unexpected(tmp_path) -> None:
    for error in (RuntimeError("a defect"), None):
        assert tune_adapter._failure_of(kept(tmp_path, error, "x")) == Failure("unexpected", "x")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(QueueLost("gone"), True), (TrialFailed("input", "no such file: QueueLost.txt"), False)],
)
def test_the_queue_is_lost_by_the_type_of_the_error_not_by_its_text(
    tmp_path, error, expected
) -> None:
    stop = tune_adapter._Stop()
    forward = tune_adapter._Forward(watcher=None, stop=stop)  # type: ignore[arg-type]
    forward.on_trial_recover(0, [], kept(tmp_path, error, f"Traceback\n{error!r}"))
    assert stop.stop_all() is expected


@pytest.mark.parametrize("callback", ["on_trial_recover", "on_trial_error"])
def test_a_full_disk_ends_the_sweep_at_its_first_trial_without_a_retry(tmp_path, callback) -> None:
    failed: list[tuple[str, str]] = []

    class Seen:
        def failed(self, trial_id: str, failure: Failure) -> None:
            failed.append((trial_id, failure.kind))

    stop = tune_adapter._Stop()
    forward = tune_adapter._Forward(Seen(), stop)  # type: ignore[arg-type]
    text = "Traceback\ntrainables.exceptions.DiskFull: No space left on device in /runs: 3 MB"
    trial = kept(tmp_path, TrialFailed("disk-full", text), text)
    for _ in range(2):  # another running trial finds it full as well
        getattr(forward, callback)(0, [], trial)
    assert stop.stop_all()
    assert failed == [("a", "disk-full")]
    assert str(stop.reason).endswith("would fail too: No space left on device in /runs: 3 MB")


def test_trials_get_no_keys_of_aws_which_ray_would_log(monkeypatch) -> None:
    monkeypatch.setattr(
        class_cache, "ENV_VARS_TO_PROPAGATE", set(class_cache.ENV_VARS_TO_PROPAGATE)
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c0rrect-h0rse")
    assert "c0rrect-h0rse" in environment_of_trials()
    tune_adapter._keep_credentials()
    assert "c0rrect-h0rse" not in environment_of_trials()


def environment_of_trials() -> list[str]:
    """Return the values of the environment that Tune gives its trials."""

    class Trainable:
        """A class to make an actor of."""

    actor = class_cache._ActorClassCache().get(Trainable)
    return list(actor._default_options["runtime_env"]["env_vars"].values())
