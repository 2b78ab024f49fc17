"""Networks from pictures to codes: a trunk and what stands on it."""

from encoder.networks.base import HashNetwork, NetworkOutput
from encoder.networks.registry import create_network, network_kinds

__all__ = ["HashNetwork", "NetworkOutput", "create_network", "network_kinds"]
