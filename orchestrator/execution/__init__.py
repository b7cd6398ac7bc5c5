"""Run planned work: its costs, the lock on its directory, and the place where it runs.

A session runs a plan through an executor, on a Ray cluster or in this process.
"""

__all__ = [
    "command_history",
    "dry_run",
    "executor",
    "gpu_service",
    "image_sizes",
    "lock_owner",
    "monitor",
    "narration",
    "options",
    "plan",
    "preflight",
    "ray_executor",
    "run_lock",
    "run_record",
    "session",
    "settings",
    "setup",
]
