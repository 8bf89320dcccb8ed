"""patch() and unpatch(), on attention that holds its own table of angles."""

import copy
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.0")

import ropejit  # noqa: E402
from ropejit._dispatchers import FUNCTION  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_stays_patched")


def apply_rotary_pos_emb(tensor, sin, cos):
    """GPT-J's."""
    sin, cos = (angles[:, :, None].repeat_interleave(2, 3) for angles in (sin, cos))
    turned = torch.stack((-tensor[..., 1::2], tensor[..., ::2]), -1).flatten(-2)
    return tensor * cos + turned * sin


class TableAttention(torch.nn.Module):
    """What attention does in GPT-J (gathers) and CodeGen before transformers 5.24."""

    def __init__(self, gathers=True):
        super().__init__()
        self.gathers = gathers
        angles = torch.arange(64.0)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
        table = torch.cat([angles.sin(), angles.cos()], 1)
        self.register_buffer("embed_positions", table, persistent=False)

    def forward(self, x, position_ids):
        rows = self.embed_positions
        if self.gathers:
            rows = rows.repeat(len(position_ids), 1, 1)
            repeated = position_ids.unsqueeze(-1).repeat(1, 1, rows.shape[-1])
            rows = torch.gather(rows, 1, repeated).to(x.dtype)
        else:
            rows = rows[position_ids]
        sin, cos = torch.split(rows, rows.shape[-1] // 2, dim=-1)
        return apply_rotary_pos_emb(x, sin, cos)


def some_heads(dtype=None):
    """x and position_ids for TableAttention."""
    x = torch.rand(2, 3, 5, 8, generator=torch.Generator().manual_seed(7)).to(dtype) * 2 - 1
    return x.requires_grad_(), torch.tensor([[0, 1, 2], [63, 7, 31]])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gathers", [True, False])
def test_a_table_of_attention(gathers, dtype, rows, patched, count_rotations):
    attention = TableAttention(gathers)
    x, ids = some_heads(dtype)
    wanted = attention(x, ids[:rows])
    weights = torch.linspace(-1, 1, wanted.numel()).view(wanted.shape)
    (gradient,) = torch.autograd.grad((wanted * weights).sum(), x)
    patched(attention)
    count_rotations.clear()
    actual = attention(x, ids[:rows])
    assert len(count_rotations) == 1
    assert type(actual) is torch.Tensor and actual.dtype == wanted.dtype
    limit = 4 * torch.finfo(dtype).eps
    assert (actual - wanted).abs().max() <= limit
    (other,) = torch.autograd.grad((actual * weights).sum(), x)
    assert (other - gradient).abs().max() <= limit


def test_a_table_moves_with_its_model(patched, count_rotations):
    attention = patched(TableAttention())
    assert attention.state_dict() == {}
    (buffer,) = attention.buffers()
    x, ids = some_heads(torch.bfloat16)
    attention.to(torch.bfloat16)
    count_rotations.clear()
    attention(x, ids)
    assert len(count_rotations) == 1
    ropejit.unpatch(attention)
    assert type(attention.embed_positions) is torch.Tensor
    assert torch.equal(attention.embed_positions, buffer.bfloat16())


def test_a_table_stays_where_it_is():
    attention = TableAttention()
    before = attention.embed_positions
    ropejit.patch(attention)
    assert ropejit.patch(attention).embed_positions.data_ptr() == before.data_ptr()
    other = copy.deepcopy(attention)
    other.embed_positions.zero_()
    ropejit.unpatch(attention)
    assert attention.embed_positions.data_ptr() == before.data_ptr() and before.any()
    ropejit.unpatch(other)
    attention.embed_positions = ropejit.patch(attention).embed_positions + 0.0  # by somebody else
    ropejit.unpatch(attention)
    assert type(attention.embed_positions) is torch.Tensor


def test_a_table_that_gets_its_memory_later(patched, count_rotations):
    attention = TableAttention()
    late = patched(copy.deepcopy(attention).to("meta")).to_empty(device="cpu")
    late.embed_positions.copy_(attention.embed_positions)
    count_rotations.clear()
    x, ids = some_heads(torch.float32)
    assert (late(x, ids) - attention(x, ids)).abs().max() <= 1e-6
    assert len(count_rotations) == 1


@pytest.mark.parametrize("gathers", [True, False])
def test_a_table_is_compiled(gathers, patched, fresh_compiler):
    attention = TableAttention(gathers)
    x, ids = some_heads(torch.float32)
    wanted = attention(x, ids)
    compiled = torch.compile(patched(attention), backend="aot_eager", fullgraph=True)
    actual = compiled(x, ids)
    assert type(actual) is torch.Tensor
    assert (actual - wanted).abs().max() <= 1e-6
    actual.sum().backward()
    assert x.grad.any()


def turned_back(tensor, sin, cos):
    return rotate(tensor, -sin, cos)


rotate = apply_rotary_pos_emb  # also while another function has its name


@pytest.mark.parametrize(
    "function, message",
    [
        (turned_back, "h.0 and 1 more: TableAttention: its rotation .* differ by"),
        (lambda x, sin, cos: x * sin, "TableAttention: its apply_rotary_pos_emb takes no table"),
        (lambda q, k, cos, sin: (q, k), "must take .tensor, sin, cos."),
        (lambda x, cos, sin, unsqueeze_dim=1: x, "must take .tensor, sin, cos."),
    ],
)
def test_a_table_for_another_function_is_refused(function, message, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], FUNCTION, function)
    model = torch.nn.ModuleDict({"h": torch.nn.ModuleList([TableAttention(), TableAttention()])})
    with pytest.raises(ValueError, match=message):
        ropejit.patch(model)
    assert vars(sys.modules[__name__])[FUNCTION] is function
    assert {type(buffer) for buffer in model.buffers()} == {torch.Tensor}
