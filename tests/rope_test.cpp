#include "src/rope.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "src/heuristic.h"
#include "src/kernel_plan.h"
#include "tests/runtime_fixture.h"

namespace {

thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Every allocation of this program is counted, those of the stub included. Not inlined: the
// compiler would find new without delete where it inlines one of them only.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return allocate(bytes); }
[[gnu::noinline]] void* operator new[](std::size_t bytes) { return allocate(bytes); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace ropejit {
namespace {

constexpr LaunchConfig kConfig = {128, 16, Pairing::registers, 1};

/// A spec whose wide kernel has 4 slots a row with kConfig.
RopeSpec half_spec() {
  RopeSpec spec = small_spec(64);
  spec.q_heads = 4;
  spec.kv_heads = 2;
  return spec;
}

/// A Rope on the stub, whose kernels are in the cache folder.
struct RopeFixture : RuntimeFixture {
  RopeFixture() {
    spec = half_spec();
    cuda.params_bytes = sizeof(kernel::RopeParams);
    put_plan("sm_90");
    runtime.emplace(options);
    rope.emplace(resolve());
  }

  void put_plan(const std::string& arch) const {
    BucketConfigs configs;
    configs.fill(kConfig);
    for (const auto& [kernel_spec, config] : plan_kernels(spec, configs).kernels) {
      const Key key = Builder::key_of({kernel_spec, config, arch});
      REQUIRE(!CubinCache(folder).put({key, "made by a test", arch, "NVRTC 1.0", loadable()}));
    }
  }
  Rope resolve() const { return runtime->rope(spec, frequencies_of(spec), 0, kConfig); }

  RopeArgs args(std::int64_t batch, std::int64_t seq) const {
    RopeArgs result;
    result.batch = batch;
    result.seq = seq;
    result.q = dense_bshd(at(0x100000), seq, 4, 64);
    result.k = dense_bshd(at(0x200000), seq, 2, 64);
    result.q_out = dense_bshd(at(0x300000), seq, 4, 64);
    result.k_out = dense_bshd(at(0x400000), seq, 2, 64);
    return result;
  }
  static void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

  kernel::RopeParams params_of(std::size_t launch) const {
    kernel::RopeParams params;
    std::memcpy(&params, cuda.launches.at(launch).params.data(), sizeof params);
    return params;
  }

  mutable std::optional<Runtime> runtime;
  std::optional<Rope> rope;
};

}  // namespace

TEST_CASE("apply launches one kernel, with the grid and block of the call") {
  RopeFixture f;
  f.rope->apply(f.args(2, 100));
  REQUIRE(f.cuda.launches.size() == 1);
  const StubLaunch& launch = f.cuda.launches[0];
  CHECK(launch.kernel == "ropejit_rope");
  CHECK(launch.grid[0] == 25 + 13);  // 800 and 400 rows by 32
  CHECK(launch.grid[1] == 1);
  CHECK(launch.grid[2] == 1);
  CHECK(launch.block[0] == 128);
  CHECK(launch.block[1] == 1);
  CHECK(launch.block[2] == 1);
  CHECK(launch.stream == nullptr);
  CHECK(text_of(f.runtime->stats()) == "disk_hits 2");
}

TEST_CASE("the kernel's one parameter holds the call, and frequencies that are on the device") {
  RopeFixture f;
  RopeArgs args = f.args(2, 100);
  args.offset = -3;
  f.rope->apply(args);
  const kernel::RopeParams params = f.params_of(0);
  CHECK(params.q.in == args.q.data);
  CHECK(params.q.out == args.q_out.data);
  CHECK(params.k.in == args.k.data);
  CHECK(params.k.out == args.k_out.data);
  CHECK(params.q.in_batch == args.q.stride_batch);
  CHECK(params.k.out_seq == args.k_out.stride_seq);
  CHECK(params.q.slots == 800 * 4);
  CHECK(params.k.slots == 400 * 4);
  CHECK(params.batch == 2);
  CHECK(params.seq == 100);
  CHECK(params.offset == -3);
  CHECK(params.attention_factor == 1.0f);
  const Frequencies frequencies = frequencies_of(f.spec);
  CHECK(std::memcmp(params.turns, frequencies.turns.data(), 32 * sizeof(std::uint64_t)) == 0);
  CHECK(static_cast<const void*>(params.turns) != frequencies.turns.data());
  CHECK(f.cuda.calls["cuCtxSynchronize"] == 1);  // the copy is waited for, once, in rope()
}

TEST_CASE("the launch goes to the stream of the call") {
  RopeFixture f;
  const auto device = f.device();
  const Stream stream = device->create_stream();
  f.rope->apply(f.args(1, 1), stream.get());
  CHECK(f.cuda.launches.at(0).stream == stream.get());
}

TEST_CASE("apply is legal while its stream is captured, and again at every replay") {
  RopeFixture f;
  const auto device = f.device();
  const Stream stream = device->create_stream();
  const Graph graph = device->capture(stream.get(), [&] {
    f.rope->apply(f.args(1, 1), stream.get());
    RopeArgs unaligned = f.args(1, 1);
    unaligned.q.data = f.at(0x100002);
    f.rope->apply(unaligned, stream.get());
  });
  CHECK(graph.nodes() == 2);
  CHECK(f.cuda.launches.empty());
  graph.launch(stream.get());
  graph.launch(stream.get());
  CHECK(f.cuda.launches.size() == 4);
}

TEST_CASE("a call that breaks the alignment promise is counted, and takes the narrow kernel") {
  RopeFixture f;
  RopeArgs args = f.args(1, 100);
  args.q.data = f.at(0x100002);
  f.rope->apply(args);
  // The heads of a token share a thread: 32 slots a token for q and for k alike.
  const LaunchConfig narrow = heuristic_config(kernel_specs(f.spec).back(), 1 << 20);
  const auto threads = static_cast<unsigned>(narrow.block_threads);
  const unsigned blocks = (100 * 32 + threads - 1) / threads;
  REQUIRE(narrow.heads_per_thread == 4);
  CHECK(f.cuda.launches.at(0).grid[0] == 2 * blocks);
  CHECK(f.cuda.launches.at(0).block[0] == threads);
  CHECK(f.runtime->stats().unaligned_calls == 1);
  args = f.args(1, 100);
  args.k_out.stride_seq += 1;
  f.rope->apply(args);
  CHECK(f.cuda.launches.at(1).grid[0] == 2 * blocks);
  CHECK(f.runtime->stats().unaligned_calls == 2);
  args = f.args(1, 100);
  args.k.stride_dim = -1;
  f.rope->apply(args);
  CHECK(f.cuda.launches.at(2).grid[0] == 2 * blocks);
  CHECK(f.runtime->stats().unaligned_calls == 3);
  f.rope->apply(f.args(1, 100));
  CHECK(f.cuda.launches.at(3).grid[0] == 13 + 7);
  CHECK(f.runtime->stats().unaligned_calls == 3);
}

TEST_CASE("every call takes the launch of its token count's bucket") {
  StubFixture stub;
  auto state = std::make_shared<Rope::State>();
  state->spec = half_spec();
  state->counters = std::make_shared<Counters>();
  state->device = 0;
  state->alignment = 16;
  const RopeSpec kernel_spec = kernel_specs(state->spec).front();
  const auto kernel = stub.device()->load(loadable(), "ropejit_rope");
  for (int bucket = 0; bucket < kTokenBuckets; ++bucket) {  // told apart by their block size
    const LaunchConfig config = {32 * (bucket % 16 + 1), 16, Pairing::registers, 1};
    state->wide[static_cast<std::size_t>(bucket)] = {kernel, launch_shape(kernel_spec, config)};
  }
  const Rope rope(state);
  const auto bucket_of = [&](std::int64_t batch, std::int64_t seq) {
    RopeArgs args;
    args.batch = batch;
    args.seq = seq;
    args.q = args.q_out = dense_bshd(RopeFixture::at(0x100000), seq, 4, 64);
    rope.apply(args);
    return static_cast<int>(stub.cuda.launches.back().block[0] / 32) - 1;
  };
  CHECK(bucket_of(1, 1) == 0);
  CHECK(bucket_of(1, 2) == 1);
  CHECK(bucket_of(1, 3) == 2);
  CHECK(bucket_of(2, 2) == 2);
  CHECK(bucket_of(1, 5) == 3);
  CHECK(bucket_of(16, 64) == 10);
  CHECK(bucket_of(5, 205) == 11);
  CHECK(bucket_of(1, 32768) == 15);
  CHECK(bucket_of(1, 1 << 20) == 20 % 16);
  CHECK(bucket_of(1, (1 << 20) + 1) == 21 % 16);
  CHECK(bucket_of(1, 1 << 24) == 21 % 16);
}

TEST_CASE("a dependent launch is asked for where the device has it, and the kernel is told") {
  RopeFixture f;
  RopeArgs args = f.args(1, 1);
  f.rope->apply(args);
  CHECK_FALSE(f.cuda.launches.at(0).dependent);
  CHECK(f.params_of(0).dependent_launch == 0);
  args.dependent_launch = args.early_positions = true;
  f.rope->apply(args);
  CHECK(f.cuda.launches.at(1).dependent);
  CHECK(f.params_of(1).dependent_launch == 1);
  CHECK(f.params_of(1).early_positions == 1);
}

TEST_CASE("a dependent launch is an ordinary one on a device that has none") {
  RopeFixture f;
  f.rope.reset();
  f.runtime.reset();
  f.cuda.major = 8;
  f.put_plan("sm_80");
  f.runtime.emplace(f.options);
  f.rope.emplace(f.resolve());
  RopeArgs args = f.args(1, 1);
  args.dependent_launch = true;
  f.rope->apply(args);
  CHECK_FALSE(f.cuda.launches.back().dependent);
}

TEST_CASE("zero tokens launch nothing") {
  RopeFixture f;
  f.rope->apply(f.args(1, 0));
  f.rope->apply(f.args(0, 5));
  f.rope->apply(RopeArgs{});
  CHECK(f.cuda.launches.empty());
  CHECK(f.cuda.calls["cuLaunchKernelEx"] == 0);
}

TEST_CASE("a bad argument is refused before anything is launched or counted") {
  RopeFixture f;
  RopeArgs args = f.args(1, 1);
  args.q.data = f.at(0x100002);
  args.k_out.data = nullptr;
  CHECK(refusal([&] { f.rope->apply(args); }).starts_with("invalid_argument: k_out.data = null"));
  CHECK(f.cuda.launches.empty());
  CHECK(f.runtime->stats().unaligned_calls == 0);
}

TEST_CASE("a launch that fails is an error that names the call and the kernel") {
  RopeFixture f;
  constexpr int kInvalidValue = 1;
  f.cuda.fail("cuLaunchKernelEx", kInvalidValue, 1);
  CHECK(refusal([&] { f.rope->apply(f.args(1, 1)); })
            .starts_with("driver: cuLaunchKernelEx for kernel ropejit_rope failed: "
                         "CUDA_ERROR_INVALID_VALUE"));
  CHECK(refusal([&] { f.rope->apply(f.args(1, 1)); }) == "accepted");
}

TEST_CASE("apply allocates nothing of its own, aligned or not, packed, transposed or not") {
  StubFixture stub;
  auto state = std::make_shared<Rope::State>();
  state->spec = half_spec();
  state->counters = std::make_shared<Counters>();
  state->device = 0;
  const auto device = stub.device();
  const std::vector<RopeSpec> kernels = kernel_specs(state->spec);
  const auto load = [&](const RopeSpec& spec) {
    return RopeKernel{device->load(loadable(), "ropejit_rope"), launch_shape(spec, {})};
  };
  state->alignment = 16;
  state->wide.fill(load(kernels[0]));
  state->narrow = load(kernels[1]);
  const Rope rope(state);

  RopeArgs dense, packed;
  dense.seq = packed.seq = 10;
  dense.batch = packed.batch = 3;
  dense.q = dense_bshd(reinterpret_cast<void*>(0x100000), 10, 4, 64);
  dense.q_out = dense_bshd(reinterpret_cast<void*>(0x200002), 10, 4, 64);
  packed.q = packed.q_out = {reinterpret_cast<void*>(0x100000), 5120, 512, 64, 1};
  packed.k = packed.k_out = {reinterpret_cast<void*>(0x100200), 5120, 512, 64, 1};
  RopeArgs transposed = packed;  // [batch, seq, head_dim, heads]
  transposed.q = transposed.q_out = {reinterpret_cast<void*>(0x100000), 5120, 512, 1, 8};
  transposed.k = transposed.k_out = {reinterpret_cast<void*>(0x100008), 5120, 512, 1, 8};

  stub.cuda.launches.reserve(100);
  const auto counted = [](const auto& call) {
    call();                            // the stub's own first-time allocations
    std::uint64_t least = UINT64_MAX;  // now and then the stub's queue takes a block more
    for (int i = 0; i < 2; ++i) {
      const std::uint64_t before = allocations;
      call();
      least = std::min(least, allocations - before);
    }
    return least;
  };
  const char params[16] = {};
  const std::uint64_t of_a_launch =
      counted([&] { state->narrow.kernel->launch(params, 1, 1, nullptr); });
  CHECK(of_a_launch > 0);  // the stub's; counting works
  CHECK(counted([&] { rope.apply(dense); }) == of_a_launch);
  CHECK(counted([&] { rope.apply(packed); }) == of_a_launch);
  CHECK(counted([&] { rope.apply(transposed); }) == of_a_launch);
  CHECK(counted([&] { rope.apply(RopeArgs{}); }) == 0);
}

}  // namespace ropejit
