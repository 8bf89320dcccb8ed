// A call that plain_facts() knows must be one that check_closely() accepts, with the same facts.

#include "src/plain_call.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "ropejit/error.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

RopeSpec spec_of(int head_dim, int q_heads, int kv_heads) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.q_heads = q_heads;
  spec.kv_heads = kv_heads;
  spec.dtype = Dtype::float16;
  return spec;
}

/// Calls of small tensors close to each other, so that they often just meet, or just do not.
class RandomCalls {
 public:
  RopeSpec spec() {
    RopeSpec spec = spec_of(pick({2, 4}), pick({1, 1, 2, 3}), pick({1, 1, 2}));
    spec.dtype = pick(std::array{Dtype::float16, Dtype::float32});
    if (below(8) == 0) spec.positions = PositionMode::ragged;
    return spec;
  }

  RopeArgs args(const RopeSpec& spec) {
    RopeArgs args;
    args.batch = pick({1, 1, 2, 3});
    args.seq = pick({1, 2, 3});
    if (below(50) == 0) args.batch = pick({-1, 0});
    if (below(50) == 0) args.seq = pick({-1, 0});
    if (spec.positions == PositionMode::ragged) args.cu_seqlens = at(0x100);
    const std::uintptr_t base = 0x1000;
    args.q = tensor(spec, args, spec.q_heads, base);
    args.k = tensor(spec, args, spec.kv_heads, base);
    if (below(4) == 0) {  // slices of one buffer, as far apart as they please
      args.k = args.q;
      args.k.data = at(base + below(24) * spec.head_dim * size_of(spec.dtype));
    }
    args.q_out = below(2) == 0 ? args.q : tensor(spec, args, spec.q_heads, base);
    args.k_out = below(2) == 0 ? args.k : tensor(spec, args, spec.kv_heads, base);
    if (below(10) == 0) args.q = args.q_out = Tensor{};
    if (below(10) == 0) args.k = args.k_out = Tensor{};
    if (below(50) == 0) args.q.data = nullptr;
    if (below(50) == 0) args.k_out.data = nullptr;
    return args;
  }

 private:
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

  template <typename T, std::size_t n>
  T pick(const std::array<T, n>& from) {
    return from[below(n)];
  }
  int pick(std::initializer_list<int> from) {
    return from.begin()[below(static_cast<std::uint32_t>(from.size()))];
  }

  Tensor tensor(const RopeSpec& spec, const RopeArgs& args, int heads, std::uintptr_t base) {
    const std::int64_t width = pick({heads, heads, 5, 8});
    Tensor made = dense_bshd(at(base), args.seq, width, spec.head_dim);
    if (below(6) == 0) made = dense_bhsd(at(base), args.seq, heads, spec.head_dim);
    const std::int64_t elements = spec.head_dim * std::int64_t{below(120)} / pick({1, 1, 2});
    made.data = at(base + static_cast<std::size_t>(elements) * size_of(spec.dtype));
    for (std::int64_t Tensor::*stride :
         {&Tensor::stride_batch, &Tensor::stride_seq, &Tensor::stride_head}) {
      if (below(20) == 0) made.*stride += pick({-1, 1, -2, 2, 16});
      if (below(40) == 0) made.*stride = pick({0, -4, -64});
    }
    if (below(60) == 0) made.stride_dim = pick({2, 0, -1});
    if (below(60) == 0) made.data = at(base + 1);
    return made;
  }

  std::mt19937 random_{11};
};

}  // namespace

TEST_CASE("what is taken for plain is accepted by the exact rules, with the same facts") {
  RandomCalls calls;
  int plain = 0;
  int refused = 0;
  for (int i = 0; i < 200000; ++i) {
    const RopeSpec spec = calls.spec();
    const RopeArgs args = calls.args(spec);
    CallFacts exact;
    const std::string verdict = refusal([&] { exact = check_closely(spec, args); });
    if (verdict != "accepted") ++refused;
    const std::optional<CallFacts> facts = plain_facts(spec, args);
    if (!facts) continue;
    ++plain;
    REQUIRE(verdict == "accepted");
    REQUIRE(facts->tokens == exact.tokens);
    REQUIRE(facts->span_bytes == exact.span_bytes);
    REQUIRE(facts->bits.tensors == exact.bits.tensors);
  }
  // Both happen often enough for the above to mean something.
  CHECK(plain > 20000);
  CHECK(refused > 20000);
}

TEST_CASE("slices of one buffer at every distance and stride around those that fit") {
  const RopeSpec spec = spec_of(2, 2, 1);
  int plain = 0;
  for (const std::int64_t batch : {1, 2}) {
    for (const std::int64_t seq : {1, 2}) {
      for (std::int64_t stride_seq = 4; stride_seq <= 9; ++stride_seq) {
        for (std::int64_t stride_batch = 4; stride_batch <= 20; ++stride_batch) {
          for (std::int64_t distance = -9; distance <= 9; ++distance) {
            RopeArgs args;
            args.batch = batch;
            args.seq = seq;
            args.q = args.q_out = {at(0x1000), stride_batch, stride_seq, 2};
            args.k = args.k_out = {at(static_cast<std::uintptr_t>(0x1000 + 2 * distance)),
                                   stride_batch, stride_seq, 2};
            const bool taken = plain_facts(spec, args).has_value();
            const bool accepted = refusal([&] { check_closely(spec, args); }) == "accepted";
            REQUIRE((!taken || accepted));
            if (taken) ++plain;
          }
        }
      }
    }
  }
  CHECK(plain > 1000);
}

TEST_CASE("whatever differs from the call before is seen") {
  const RopeSpec base_spec = spec_of(64, 4, 2);
  RopeArgs base;
  base.batch = 2;
  base.seq = 3;
  base.q = {at(1ull << 40), 4096, 1024, 128};
  base.q_out = {at(2ull << 40), 4096, 1024, 128};
  base.k = {at(3ull << 40), 2112, 576, 192};
  base.k_out = {at(4ull << 40), 2112, 576, 192};

  const auto same = [](const std::optional<CallFacts>& a, const std::optional<CallFacts>& b) {
    if (!a || !b) return a.has_value() == b.has_value();
    return a->tokens == b->tokens && a->span_bytes == b->span_bytes &&
           a->bits.tensors == b->bits.tensors;
  };
  const auto check = [&](const std::function<void(RopeSpec&, RopeArgs&)>& change) {
    RopeSpec spec = base_spec;
    RopeArgs args = base;
    change(spec, args);
    const std::optional<CallFacts> before = plain_facts(base_spec, base);
    const std::optional<CallFacts> behind = plain_facts(spec, args);
    std::optional<CallFacts> alone;
    std::thread([&] { alone = plain_facts(spec, args); }).join();  // that has seen no other call
    CHECK(same(behind, alone));
    CHECK(!same(behind, before));  // or the above would say nothing
  };
  check([](RopeSpec& spec, RopeArgs&) { spec.head_dim = 128; });
  check([](RopeSpec& spec, RopeArgs&) { spec.q_heads = 20; });
  check([](RopeSpec& spec, RopeArgs&) { spec.kv_heads = 20; });
  check([](RopeSpec& spec, RopeArgs&) { spec.dtype = Dtype::float32; });
  check([](RopeSpec& spec, RopeArgs&) { spec.positions = PositionMode::ragged; });
  check([](RopeSpec&, RopeArgs& args) { args.batch = 3; });
  check([](RopeSpec&, RopeArgs& args) { args.seq = 2; });
  check([](RopeSpec&, RopeArgs& args) { args.q.data = args.q_out.data = nullptr; });
  check([](RopeSpec&, RopeArgs& args) { args.k.data = args.k_out.data = nullptr; });
  for (Tensor RopeArgs::*tensor :
       {&RopeArgs::q, &RopeArgs::q_out, &RopeArgs::k, &RopeArgs::k_out}) {
    for (std::int64_t Tensor::*stride :
         {&Tensor::stride_batch, &Tensor::stride_seq, &Tensor::stride_head, &Tensor::stride_dim}) {
      check([&](RopeSpec&, RopeArgs& args) { (args.*tensor).*stride += 1; });
    }
  }
}

TEST_CASE("the arrangements that serving stacks use are plain") {
  const RopeSpec spec = spec_of(128, 32, 8);
  for (const std::int64_t seq : {1, 7, 131072}) {
    for (const std::int64_t batch : {1, 3}) {
      const auto dense_call = [&](auto dense) {
        RopeArgs args;
        args.batch = batch;
        args.seq = seq;
        args.q = dense(at(1ull << 40), 32);
        args.q_out = dense(at(2ull << 40), 32);
        args.k = dense(at(3ull << 40), 8);
        args.k_out = dense(at(4ull << 40), 8);
        return args;
      };
      const auto in_place = [](RopeArgs args) {
        args.q_out = args.q;
        args.k_out = args.k;
        return args;
      };
      const RopeArgs bshd =
          dense_call([&](void* data, int heads) { return dense_bshd(data, seq, heads, 128); });
      CHECK(plain_facts(spec, bshd));
      CHECK(plain_facts(spec, in_place(bshd)));
      // Slices of a packed [batch, seq, 32 + 8 + 8, 128].
      RopeArgs packed = bshd;
      packed.q = dense_bshd(at(1ull << 40), seq, 48, 128);
      packed.k = dense_bshd(at((1ull << 40) + 32 * 128 * 2), seq, 48, 128);
      CHECK(plain_facts(spec, packed));
      CHECK(plain_facts(spec, in_place(packed)));
      RopeArgs only_k = bshd;
      only_k.q = only_k.q_out = Tensor{};
      CHECK(plain_facts(spec, only_k));
    }
  }
}

}  // namespace ropejit
