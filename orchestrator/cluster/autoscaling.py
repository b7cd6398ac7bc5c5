"""The nodes that a cluster's autoscaler may start when trials wait for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

BOOTSTRAP: Final = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` writes the cluster's configuration, on the head node only."""


@dataclass(frozen=True)
class NodeType:
    """A type of node that the autoscaler may start, and their largest number."""

    resources: Mapping[str, float]
    at_most: int


def node_types(bootstrap: Path = BOOTSTRAP) -> list[NodeType]:
    """List the types of worker nodes that the autoscaler of this head node may start.

    Empty if the cluster has no autoscaler, or if the file is not a cluster's configuration.
    """
    try:
        config = yaml.safe_load(bootstrap.expanduser().read_text(encoding="utf-8"))
        types = dict(config["available_node_types"])
        at_most = int(config.get("max_workers", 2))  # Ray's default
        return [
            NodeType(_resources(declared), min(at_most, int(declared.get("max_workers", at_most))))
            for name, declared in types.items()
            if name != config["head_node_type"] and declared.get("resources")
        ]
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _resources(declared: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in declared["resources"].items()}


def grown(now: Mapping[str, float], types: list[NodeType]) -> dict[str, float]:
    """Add one node of each type to a cluster's resources: the resources it can grow to offer."""
    total = Counter({name: float(value) for name, value in now.items()})
    for one in types:
        total.update(one.resources)
    return dict(total)
