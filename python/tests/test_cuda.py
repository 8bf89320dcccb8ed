"""What only a GPU shows: streams, graphs, threads, devices. Skipped where there is none."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import assert_rotated, expected

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

import ropejit  # noqa: E402

SLEEP = 20_000_000  # cycles: some 10 ms


@pytest.fixture
def device():
    return "cuda"


@pytest.fixture
def exact():
    return ropejit.RotaryEmbedding(64, angles="exact")


def on_the_cpu(rope, *tensors, **how):
    how = {name: x.cpu() if isinstance(x, torch.Tensor) else x for name, x in how.items()}
    return [x.cuda() for x in rope(*(x.cpu() for x in tensors), **how) if x is not None]


def assert_close(actual, wanted):
    assert actual.dtype == wanted.dtype
    limit = {torch.float32: 4e-6, torch.float16: 6e-3, torch.bfloat16: 5e-2}[actual.dtype]
    assert (actual.double() - wanted.double()).abs().max() < limit


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["interleaved", "sequential"])
@pytest.mark.parametrize("angles", ["table", "exact"])
@pytest.mark.parametrize("rotary_dim", [64, 24])
def test_the_gpu_agrees_with_the_cpu(normal, dtype, layout, angles, rotary_dim):
    rope = ropejit.RotaryEmbedding(64, layout=layout, angles=angles, rotary_dim=rotary_dim)
    q, k = normal((3, 50, 8, 64), dtype), normal((3, 50, 2, 64), dtype)
    ids = torch.randint(0, 100_000, (3, 50), device="cuda")
    starts = torch.tensor([5, 0, 10**6], device="cuda")
    for how in (
        {},
        dict(offset=7),
        dict(offset=starts),
        dict(position_ids=ids),
        dict(inverse=True),
    ):
        for actual, wanted in zip(rope(q, k, **how), on_the_cpu(rope, q, k, **how)):
            assert_close(actual, wanted)
    bounds = torch.tensor([0, 20, 20, 50], dtype=torch.int32, device="cuda")
    for actual, wanted in zip(
        rope(q[0], k[0], cu_seqlens=bounds), on_the_cpu(rope, q[0], k[0], cu_seqlens=bounds)
    ):
        assert_close(actual, wanted)


def test_the_current_stream_is_taken(normal, exact):
    q = normal((64, 512, 8, 64))
    wanted, _ = exact(q)
    exact.rotate_(q.clone())
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(q)
        torch.cuda._sleep(SLEEP)
        late.copy_(q)  # behind the sleep: on another stream the rotation would find zeros
        out, _ = exact(late)
        exact.rotate_(late)
    stream.synchronize()
    assert torch.equal(out, wanted) and torch.equal(late, wanted)


@pytest.mark.parametrize("how", ["offset", "offsets", "position_ids", "table", "cu_seqlens"])
def test_a_captured_graph_reads_what_is_there_when_it_is_replayed(normal, how):
    rope = ropejit.RotaryEmbedding(64, angles="table" if how == "table" else "exact")
    q, k = normal((4, 1, 8, 64), "bfloat16"), normal((4, 1, 2, 64), "bfloat16")
    positions = torch.tensor([0, 9, 100, 7], device="cuda")
    options = {
        "offset": dict(offset=3), "table": dict(offset=3), "offsets": dict(offset=positions),
        "position_ids": dict(position_ids=positions[:, None]),
        "cu_seqlens": dict(cu_seqlens=torch.arange(5, device="cuda"), offset=positions),
    }[how]  # fmt: skip
    if how == "cu_seqlens":
        q, k = q[:, 0], k[:, 0]
    rope(q, k, **options)
    q_in, k_in = q.clone(), k.clone()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        q_out, k_out = rope(q_in, k_in, **options)
        rope.rotate_(q_in, k_in, **options)
    for step in range(3):
        q_in.copy_(q), k_in.copy_(k)
        graph.replay()
        wanted = rope(q, k, **options)
        assert torch.equal(q_out, wanted[0]) and torch.equal(k_out, wanted[1]), step
        assert torch.equal(q_in, wanted[0]) and torch.equal(k_in, wanted[1]), step
        positions += 1
        q = q + 1


def test_a_compiled_call_in_a_graph_of_inductor(normal, exact):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda q, k: exact(q, k, offset=2), fullgraph=True, mode="reduce-overhead"
    )
    q, k = normal((1, 4, 8, 64), "float16"), normal((1, 4, 2, 64), "float16")
    for _ in range(4):
        torch.compiler.cudagraph_mark_step_begin()
        with torch.no_grad():
            for actual, wanted in zip(compiled(q, k), exact(q, k, offset=2)):
                assert torch.equal(actual, wanted)


def test_two_threads_on_streams_of_their_own(normal, exact):
    q = normal((8, 128, 8, 64))
    wanted = [exact(q, offset=i)[0] for i in range(2)]
    failures = []

    def work(i):
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
                for _ in range(200):
                    rotated, _ = exact(q, offset=i)
                    mine = q.clone()
                    exact.rotate_(mine, offset=i)
                torch.cuda.current_stream().synchronize()
                assert torch.equal(rotated, wanted[i]) and torch.equal(mine, wanted[i])
        except BaseException as error:
            failures.append(error)

    torch.cuda.synchronize()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_may_make_the_first_call(normal):
    q = normal((2, 5, 4, 64))
    rope = ropejit.RotaryEmbedding(64, base=23456.0, angles="exact")
    results = [None] * 4

    def work(i):
        results[i] = rope(q)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    assert all(torch.equal(result, results[0]) for result in results)
    assert_close(results[0], on_the_cpu(rope, q)[0])


def test_arrays_of_two_devices_are_refused(normal):
    q = normal((2, 5, 4, 16))
    cos, sin = ropejit.build_rope_cache(5, 16)
    cases = [
        ("cos: must be on the device of q", (q, None, cos, sin), {}),
        ("k: must be on the device of q", (q, q.cpu(), cos.cuda(), sin.cuda()), {}),
        ("position_ids: must be on", (q, None, cos.cuda(), sin.cuda()),
         dict(position_ids=torch.arange(5))),
        ("offset: must be on", (q, None, cos.cuda(), sin.cuda()), dict(offset=torch.arange(2))),
    ]  # fmt: skip
    for message, arguments, options in cases:
        with pytest.raises(ValueError, match=message):
            ropejit.apply_rope(*arguments, **options)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
@pytest.mark.parametrize("angles", ["table", "exact"])
@pytest.mark.parametrize("current", [0, 1])
def test_two_devices_whichever_is_the_current_one(make, angles, current):
    rope = ropejit.RotaryEmbedding(64, angles=angles)
    q, ids = torch.from_numpy(make((2, 7, 8, 64))), torch.randint(0, 1000, (2, 7))
    wanted, by_ids = rope(q, offset=3)[0], rope(q, position_ids=ids)[0]
    with torch.cuda.device(current):
        for device in ("cuda:1", "cuda:0", "cuda:1"):
            x = q.to(device).requires_grad_()
            rotated, _ = rope(x, offset=3)
            assert rotated.device == x.device
            assert_close(rotated.cpu(), wanted)
            rotated.pow(2).sum().backward()
            assert torch.allclose(x.grad, 2 * x, atol=1e-4)
            assert_close(rope(q.to(device), position_ids=ids.to(device))[0].cpu(), by_ids)
            stream = torch.cuda.Stream(device)
            with torch.cuda.stream(stream):
                late = torch.zeros_like(q, device=device)
                torch.cuda._sleep(SLEEP)
                late.copy_(q)
                rope.rotate_(late, offset=3)
            stream.synchronize()
            assert_close(late.cpu(), wanted)
        assert torch.cuda.current_device() == current
        with pytest.raises(ValueError, match="k: must be on the device of q"):
            rope(q.to("cuda:0"), q.to("cuda:1"))


def test_dynamic_frequencies_follow_the_length(normal):
    config = {
        "model_type": "llama", "hidden_size": 256, "num_attention_heads": 4,
        "max_position_embeddings": 64, "rope_theta": 10000.0,
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
    }  # fmt: skip
    rope = ropejit.RotaryEmbedding.from_config(config)
    q = normal((1, 96, 4, 64))
    for tokens in (40, 96, 80, 96, 30):
        ids = torch.arange(tokens, device="cuda")[None]
        wanted = on_the_cpu(rope, q[:, :tokens])[0]
        assert_close(rope(q[:, :tokens])[0], wanted)
        assert_close(rope(q[:, :tokens], position_ids=ids)[0], wanted)
        assert_close(rope(q[:, :tokens], position_ids=ids, seq_len=tokens)[0], wanted)
    x = q.clone().requires_grad_()
    rotated, _ = rope(x)
    rope(q[:, :70])  # other frequencies, between forward and backward
    rotated.pow(2).sum().backward()
    assert torch.allclose(x.grad, 2 * q, atol=1e-4)


def test_prewarmed_kernels_need_no_compiler(tmp_path):
    arch = "sm_{}{}".format(*torch.cuda.get_device_capability())
    code = f"""
import sys, torch, ropejit
config = dict(model_type="llama", hidden_size=512, num_attention_heads=8, num_key_value_heads=2,
              torch_dtype="bfloat16", max_position_embeddings=4096)
ropejit.set_cache_dir({str(tmp_path)!r})
if sys.argv[1] == "build":
    print(ropejit.prewarm(config, {arch!r}, "all").compiled)
else:
    rope = ropejit.RotaryEmbedding.from_config(config)
    q = torch.randn(2, 5, 8, 64, device="cuda", dtype=torch.bfloat16)
    k = torch.randn(2, 5, 2, 64, device="cuda", dtype=torch.bfloat16)
    ids = torch.arange(5, device="cuda")
    x = q.clone().requires_grad_()
    rope(x, k)[0].sum().backward()
    rope(q, k, position_ids=ids)
    rope(q, k, offset=torch.tensor([3, 1], device="cuda"))
    rope(q[0], k[0], cu_seqlens=torch.tensor([0, 2, 5], device="cuda"))
    ropejit.apply_rope(q, k, *ropejit.build_rope_cache(5, 64, device="cuda"), layout="sequential")
    stats = ropejit.stats()
    assert stats["compiles"] == 0 and not stats["nvrtc_opened"] and stats["disk_hits"] > 0, stats
"""
    run = [sys.executable, "-c", code]
    built = subprocess.run([*run, "build"], check=True, capture_output=True, text=True).stdout
    assert int(built) > 0
    subprocess.run([*run, "use"], check=True)


def test_cupy_arrays(make, exact):
    cupy = pytest.importorskip("cupy")
    q, k = make((2, 50, 4, 64)), make((2, 50, 1, 64))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        q_gpu, k_gpu = cupy.asarray(q), cupy.asarray(k)
        for rope in (exact, ropejit.RotaryEmbedding(64)):
            results = rope(q_gpu, k_gpu, offset=3)
            in_place = rope.rotate_(q_gpu.copy(), k_gpu.copy(), offset=3)
            for x, rotated, same in zip((q, k), results, in_place):
                assert isinstance(rotated, cupy.ndarray) and isinstance(same, cupy.ndarray)
                wanted = expected(x, np.arange(3, 53))
                assert_rotated(cupy.asnumpy(rotated, stream=stream), wanted, extra=4e-7)
                assert_rotated(cupy.asnumpy(same, stream=stream), wanted, extra=4e-7)
        ids = cupy.arange(50, dtype=cupy.int64)[::-1]
        rotated = cupy.asnumpy(exact(q_gpu, position_ids=ids)[0], stream=stream)
        assert_rotated(rotated, expected(q, np.arange(50)[::-1]), extra=4e-7)
