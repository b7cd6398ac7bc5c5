"""Ray: connections, the number of worker groups, the queue that they serve, and the watchdog.

Workers stay alive from trial to trial and take jobs from a queue.
"""

__all__ = [
    "address",
    "assigned_device",
    "capacity",
    "connection",
    "dashboard",
    "job_runner",
    "jobs",
    "ordering",
    "queue_actor",
    "session_files",
    "tune_adapter",
    "utilisation",
    "watchdog",
    "worker_groups",
    "worker_resources",
]
