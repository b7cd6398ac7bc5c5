"""The queue's metrics on Ray's dashboard and in Prometheus."""

from ray.util.metrics import Counter, Gauge

from orchestrator.cluster.jobs import Event


class QueueMetrics:
    """Publishes metrics to Ray's dashboard and Prometheus, as ``ray_sweep_…``."""

    def __init__(self) -> None:
        tags = ("group",)  # not the trial: a time series is never removed
        self._epoch = Gauge("sweep_epoch", "Epochs done of the trial", tag_keys=tags)
        self._rate = Gauge("sweep_images_per_second", "Fine-tuning rate", tag_keys=tags)
        self._memory = Gauge("sweep_gpu_bytes", "Most GPU memory in use", tag_keys=tags)
        self._ended = Counter("sweep_trials_ended", "Trials ended", tag_keys=("status",))
        self._now = Gauge("sweep_trials", "Trials waiting and running", tag_keys=("state",))

    def epoch(self, group: str | None, event: Event) -> None:
        """Record an epoch of the trial that a group runs."""
        tags = {"group": group or ""}
        self._epoch.set(event.get("epoch", 0), tags)
        self._rate.set(event.get("images_per_second") or 0.0, tags)
        self._memory.set(event.get("gpu_bytes") or 0.0, tags)

    def ended(self, group: str | None, *, failed: bool) -> None:
        """Record the end of the trial that a group ran."""
        for gauge in (self._epoch, self._rate, self._memory):
            gauge.set(0.0, {"group": group or ""})
        self._ended.inc(1, {"status": "failed" if failed else "finished"})

    def now(self, n_waiting: int, n_running: int) -> None:
        """Record how many trials are waiting and running."""
        self._now.set(n_waiting, {"state": "waiting"})
        self._now.set(n_running, {"state": "running"})
