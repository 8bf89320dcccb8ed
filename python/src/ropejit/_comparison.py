"""A model's own rotation beside the one that replaces it."""

from __future__ import annotations

import copy

from ._dispatchers import FUNCTION, Form, form_of


def check_rotary(owner, rotary, function, rotations, config) -> None:
    """ValueError if `rotations` are not what rotary_emb and apply_rotary_pos_emb compute."""
    rounding = _rounding(owner, rotary)
    is_meta = any(buffer.is_meta for buffer in rotary.buffers())
    if not is_meta:
        _compare(copy.deepcopy(rotary).to("cpu"), function, rotations, config, rounding)
    if is_meta or rounding > 0:
        import torch

        with torch.device("cpu"):
            new = type(rotary)(config)
        _compare(new, function, rotations, config, 0.0)


def _rounding(owner, rotary) -> float:
    """What rotary_emb's frequencies may be off by for the sake of a dtype.

    model.to(torch.bfloat16) rounds every buffer; GPT-J computes its frequencies in the dtype that
    the model is loaded with.
    """
    import torch

    narrow = (torch.float16, torch.bfloat16)
    tensors = [*owner.parameters(), *rotary.buffers()]
    return max((torch.finfo(t.dtype).eps for t in tensors if t.dtype in narrow), default=0.0)


def _compare(rotary, function, rotations, config, rounding: float) -> None:
    """Compares at positions near 0, tightly, and at far ones, where slow pairs have turned too."""
    import torch

    # Below the trained context: dynamic NTK's rotary_emb remembers longer ones that it has met.
    length = max(1, min(getattr(config, "max_position_embeddings", None) or 32, 4096) - 1)
    near = list(range(min(length, 8)))
    far = list(range(max(0, length - 8), length))[-len(near) :]
    position_ids = torch.tensor([near, far], device="cpu")
    # The model's angles are float32 products, which are off by more at higher positions.
    limits = 1e-4 + (1e-6 + rounding) * (1 + position_ids[:, :, None, None])
    form = form_of(function)
    random = torch.Generator("cpu").manual_seed(0)
    for layer_type, rotation in rotations.items():
        which = () if layer_type is None else (layer_type,)
        compared = False
        for width in rotation.widths:
            shape = (2, 2, 2, len(near), width)
            q, k = torch.rand(shape, generator=random, device="cpu", dtype=torch.float32) * 2 - 1
            if form.unsqueeze_dim == 2:
                q, k = q.transpose(1, 2), k.transpose(1, 2)
            with torch.no_grad():
                angles = type(rotary).forward(rotary, q, position_ids, *which)
                try:
                    wanted = function(q, k, *angles) if form.takes_pair else (
                        function(q, *angles), function(k, *angles)
                    )  # fmt: skip
                except RuntimeError:
                    continue  # attention of this kind passes the other width only
                actual = rotation.rotate(q, k, position_ids, form.unsqueeze_dim)
            compared = True
            for one, other in zip(wanted, actual):
                difference = (one - other).abs()  # to [batch, seq, heads, width]
                if form.unsqueeze_dim == 1:
                    difference = difference.transpose(1, 2)
                if not bool((difference <= limits).all()):
                    worst = position_ids[:, :, None, None].expand_as(difference).flatten()
                    raise ValueError(
                        f"model_type {config.model_type!r}: its rotation and ropejit's differ by"
                        f" {difference.max().item():.3g}, for elements within 1 of 0, at position"
                        f" {worst[difference.argmax()].item()}"
                        + (f", layer_type {layer_type!r}" if which else "")
                    )
        if not compared:
            raise ValueError(
                f"model_type {config.model_type!r}: its {FUNCTION} takes none of the widths"
                f" {list(rotation.widths)}"
            )


def check_table(kind: str, table, function) -> None:
    """ValueError if apply_rotary_pos_emb does not do by sines and cosines what ropejit does.

    The angles here are any: the patched model rotates by the numbers of its own table.
    """
    import torch

    from ._tables import rotate_by_table

    if form_of(function) != Form(takes_pair=False, takes_unsqueeze_dim=False):
        raise ValueError(f"{kind} has a table: its {FUNCTION} must take (tensor, sin, cos)")
    width = table.shape[-1]
    random = torch.Generator("cpu").manual_seed(0)
    angles = torch.rand((2, 8, width // 2), generator=random, device="cpu", dtype=torch.float32) * 6
    x = torch.rand((2, 8, 3, width), generator=random, device="cpu", dtype=torch.float32) * 2 - 1
    cos, sin = angles.cos(), angles.sin()
    try:
        difference = (function(x, cos=cos, sin=sin) - rotate_by_table(x, cos, sin)).abs().max()
    except RuntimeError as error:
        raise ValueError(f"{kind}: its {FUNCTION} takes no table of {width} columns: {error}")
    if not bool(difference <= 1e-5):
        raise ValueError(
            f"{kind}: its rotation and ropejit's differ by {difference.item():.3g}, for elements"
            " within 1 of 0"
        )
