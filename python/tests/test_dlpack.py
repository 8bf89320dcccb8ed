"""Arrays of other libraries: other dtypes, other devices, read-only results."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import assert_rotated, expected
from dlpack import BFLOAT, CUDA, METAL, Relabelled, from_bfloat16, to_bfloat16

import ropejit

COS, SIN = ropejit.build_rope_cache(8, 16, dtype=np.float32)


@pytest.mark.parametrize("layout", ["interleaved", "sequential"])
@pytest.mark.parametrize("angles", ["table", "exact"])
def test_bfloat16(make, layout, angles):
    q_bits, k_bits = to_bfloat16(make((2, 6, 4, 32))), to_bfloat16(make((2, 6, 1, 32)))
    q, k = from_bfloat16(q_bits), from_bfloat16(k_bits)
    rope = ropejit.RotaryEmbedding(dim=32, layout=layout, angles=angles)
    rope.rotate_(Relabelled(q_bits, dtype_code=BFLOAT), Relabelled(k_bits, dtype_code=BFLOAT))
    assert_rotated(from_bfloat16(q_bits), expected(q, np.arange(6), layout), "bfloat16")
    assert_rotated(from_bfloat16(k_bits), expected(k, np.arange(6), layout), "bfloat16")


def test_an_array_that_only_speaks_dlpack_gives_numpy_s(make):
    q = make((1, 8, 2, 16))
    q_rot, _ = ropejit.apply_rope(Relabelled(q), None, Relabelled(COS), Relabelled(SIN))
    assert isinstance(q_rot, np.ndarray)
    assert_rotated(q_rot, expected(q, np.arange(8)))


def test_arrays_on_two_devices_are_refused(make):
    q, k = make((1, 8, 2, 16)), make((1, 8, 2, 16))
    for name, arrays in {
        "k": (q, Relabelled(k, CUDA), COS, SIN),
        "cos": (q, k, Relabelled(COS, CUDA), SIN),
        "sin": (q, k, COS, Relabelled(SIN, CUDA)),
    }.items():
        with pytest.raises(ValueError, match=f"{name}: must be on the device of q"):
            ropejit.apply_rope_(*arrays)
    with pytest.raises(ValueError, match="position_ids: must be on the device of q"):
        ropejit.apply_rope_(q, k, COS, SIN, position_ids=Relabelled(np.arange(8), CUDA))
    with pytest.raises(ValueError, match="q: is on a device of DLPack's type 8"):
        ropejit.apply_rope_(Relabelled(q, METAL), None, COS, SIN)


def test_a_result_that_nobody_can_make_on_cuda_is_refused(make):
    q = Relabelled(make((1, 8, 2, 16)), CUDA)
    with pytest.raises(TypeError, match="must be a PyTorch or CuPy array"):
        ropejit.apply_rope(q, None, COS, SIN)


def test_a_missing_driver_is_an_error_that_names_it():
    code = (
        "import numpy as np, ropejit\n"
        "from dlpack import CUDA, Relabelled\n"
        "q = Relabelled(np.ones((1, 2, 1, 8), np.float32), CUDA)\n"
        "rope = ropejit.RotaryEmbedding(8, angles='exact')\n"
        "try: rope.rotate_(q)\n"
        "except RuntimeError as error: print(error)\n"
    )
    environment = {**os.environ, "ROPEJIT_CUDA": "/nowhere/libcuda.so"}
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env=environment, cwd=os.path.dirname(__file__),
    ).stdout  # fmt: skip
    assert "/nowhere/libcuda.so" in printed
