"""Ray: how a process connects, how many worker groups there are, what they serve, the watchdog.

Workers stay warm from trial to trial; a queue hands them jobs.
"""

__all__ = [
    "capacity",
    "connection",
    "jobs",
    "ordering",
    "queue_actor",
    "tune_adapter",
    "utilisation",
    "watchdog",
    "worker_groups",
    "worker_resources",
]
