"""With several devices this program runs once for each of them; this says which one it is. No torch."""

import os

_RANKS = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this is not one that Lightning, torchrun or Slurm started beside the first."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


__all__ = ["is_first_process"]
