"""What a cluster may grow to: the nodes that its autoscaler starts when trials wait for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

BOOTSTRAP: Final = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` leaves the cluster's configuration, on the head alone."""


@dataclass(frozen=True)
class NodeType:
    """A kind of node that the autoscaler may start."""

    resources: Mapping[str, float]
    at_most: int


def node_types(bootstrap: Path = BOOTSTRAP) -> list[NodeType]:
    """List the kinds of worker nodes that the autoscaler of this head may start.

    Empty where nothing scales this cluster, or the file is no cluster's configuration.
    """
    try:
        config = yaml.safe_load(bootstrap.expanduser().read_text())
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
    """Add to a cluster's resources those of one node of each kind: what a worker may find."""
    total = Counter({name: float(value) for name, value in now.items()})
    for one in types:
        total.update(one.resources)
    return dict(total)
