"""Kernels built ahead of time."""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple, Sequence, Union

from . import _handles, _models


class PrewarmReport(NamedTuple):
    """What :func:`prewarm` did."""

    #: Kernels that were compiled, and that were in the cache already.
    compiled: int
    cached: int
    #: One dict for each kernel, with the keys status, kernel, arch, key, message, milliseconds.
    kernels: Sequence[Dict[str, Any]]


def prewarm(
    config: Any,
    archs: Union[str, Sequence[str], None] = None,
    variants: str = "default",
    *,
    cache_dir: Union[str, os.PathLike, None] = None,
    threads: int = 0,
) -> PrewarmReport:
    """Builds the kernels that a model needs into the cache, so that no call has to compile.

    Needs NVRTC, but neither a GPU nor a driver: an image that is built without one can hold them.
    The interpreter's lock is free meanwhile.

    Args:
        config: the model, as in :meth:`RotaryEmbedding.from_config`.
        archs: GPU architectures, such as "sm_90" or ["sm_80", "sm_90"]; unless given, that of
            PyTorch's current device.
        variants: "default": every kind of positions, exact angles, forward. "all": also tables, the
            backward, and both index types. Or a list such as
            "positions=offset,token_ids;direction=forward,inverse".
        cache_dir: as :func:`set_cache_dir`, which it calls.
        threads: that compile; 0: one for each core.

    Raises:
        ValueError: the config, an architecture or a variant is wrong; nothing is built.
        OSError: the cache folder cannot be written.
        RuntimeError: kernels failed to compile; the message has each kernel's. The others are in
            the cache.
    """
    text, origin = _models.text_of(config)
    archs = [archs] if isinstance(archs, str) else _arch_here() if archs is None else list(archs)
    if threads < 0:
        raise ValueError(f"threads = {threads}: must not be negative")
    if cache_dir is not None:
        _handles.set_cache_dir(cache_dir)
    if not _handles.runtimes.cache_dir:
        raise ValueError("cache_dir: there is no cache folder to build into")
    kernels = _handles.runtimes.prewarm(text, origin, variants, archs, threads)
    count = {status: 0 for status in ("compiled", "cached", "failed")}
    for kernel in kernels:
        count[kernel["status"]] += 1
    if count["failed"]:
        failures = [f"{k['kernel']}: {k['message']}" for k in kernels if k["status"] == "failed"]
        raise RuntimeError(f"{len(failures)} kernels failed:\n" + "\n".join(failures))
    return PrewarmReport(count["compiled"], count["cached"], tuple(kernels))


def _arch_here() -> Sequence[str]:
    try:
        import torch

        major, minor = torch.cuda.get_device_capability()
    except Exception as error:
        raise ValueError(
            f"archs: there is no GPU here to take it from ({error}); name one, such as 'sm_90'"
        ) from None
    return [f"sm_{major}{minor}"]
