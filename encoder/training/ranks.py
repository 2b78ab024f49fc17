"""Several processes on one training: who am I, and sums over all. One process needs none of it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist
from torch import nn

__all__ = ["Ranks", "joined_ranks"]


@dataclass(frozen=True)
class Ranks:
    """This process's number, how many there are, and where sums over all are computed."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Add every gradient over all processes, in place; losses carry each process's share of the batch."""
        if self.world == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def average_buffers(self, network: nn.Module) -> None:
        """Average floating point buffers (statistics of batch normalisation) over all processes."""
        if self.world == 1:
            return
        for buffer in network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.world

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through the block before the others: for files that it makes and they read."""
        if self.world > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.world > 1 and self.is_first:
            dist.barrier()

    def total(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did, for the duration of the block.

    torchrun tells its children their places through the environment; that is its interface.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    _load_default_arguments()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, str(device))
        dist.barrier()  # none may hang up while another still reads its last sum
    finally:
        dist.destroy_process_group()


def _load_default_arguments() -> None:
    """Import, before a group exists, the module whose functions have the group of all processes as default argument.

    Optimisers import it at their first step; imported then, it would hold the group and its threads beyond
    ``destroy_process_group``, and a thread that is alive while the interpreter ends aborts the process.
    """
    importlib.import_module("torch.distributed.nn.functional")
