"""The part of `fit` that several ranks need: blocks, and what all of them must have alike."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.backend.registry import find_backend
from chainrule.engine.devices import AUTO
from chainrule.errors import SettingError
from chainrule.system.ranks.communicator import Communicator, gather, this_host
from chainrule.train.fitsettings import FitSettings
from chainrule.version import __version__

BLOCKS = 8
"""The blocks of a minibatch where several ranks train, if no number is given."""


def blocks_of(settings: FitSettings, ranks: Communicator) -> int:
    """The number of blocks of each minibatch.

    Raises:
        SettingError: there are more ranks than blocks, or ranks are to use a device.
    """
    if ranks.grouped and settings.device not in ("cpu", AUTO):
        raise SettingError(
            "fit.device", "ranks share minibatches on processors alone",
            got=f"device={settings.device!r} on {ranks.size} ranks",
            fix="device='cpu', or one process, without mpiexec",
        )  # fmt: skip
    usual = usual_blocks(ranks) if settings.backend == "native" else None
    count = settings.blocks or usual or 1
    if count < ranks.size and settings.backend == "native":
        raise SettingError(
            "fit.blocks", "there are more ranks than blocks of a minibatch to share",
            expected=f"at least {ranks.size} blocks, one for each rank", got=str(count),
            fix=f"blocks={ranks.size}, or fewer ranks",
        )  # fmt: skip
    return count


def usual_blocks(ranks: Communicator) -> int | None:
    """The number of blocks that ranks have if none is given; None of a process that is alone."""
    return max(BLOCKS, ranks.size) if ranks.grouped else None


def first_reason(ranks: Communicator, reason: str | None) -> str | None:
    """The reason to stop that a rank has, the same on all; None where none has one."""
    if ranks.size == 1:
        return reason
    return next((x for x in gather(ranks, reason) if x is not None), None)


def require_equal(ranks: Communicator, identity: Mapping[str, str]) -> None:
    """Raises SettingError where the ranks begin different runs, or their bits might differ."""
    if ranks.size == 1:
        return
    machine = find_backend("native").target()
    ours = {**identity, "version": __version__, "processor": machine}
    hosts, found = zip(*gather(ranks, (this_host(), ours)), strict=True)
    for rank, theirs in enumerate(found):
        names = [x for x in {**found[0], **theirs} if found[0].get(x) != theirs.get(x)]
        if names:
            raise SettingError(
                "fit", f"rank {rank} on {hosts[rank]} begins another run than rank 0",
                expected="\n".join(f"{x}: {found[0].get(x)}" for x in names),
                got="\n".join(f"{x}: {theirs.get(x)}" for x in names),
                fix="give all ranks the same data, settings and seed, and machines of one kind",
            )  # fmt: skip
