#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "ropejit/error.h"
#include "src/launch.h"
#include "tests/refusal.h"

namespace ropejit {
namespace {

constexpr std::int64_t kTwo31 = std::int64_t{1} << 31;
constexpr std::int64_t kTwo40 = std::int64_t{1} << 40;
constexpr std::int64_t kTwo56 = std::int64_t{1} << 56;

RopeSpec base_spec() {
  RopeSpec spec;
  spec.head_dim = 64;
  spec.rotary_dim = 32;
  spec.dtype = Dtype::bfloat16;
  spec.q_heads = 4;
  spec.kv_heads = 2;
  return spec;
}

/// An address that nothing may read or write: whatever touched it would crash the test.
void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

RopeArgs base_args() {
  RopeArgs args;
  args.batch = 2;
  args.seq = 8;
  args.q = dense_bshd(at(0x100000), 8, 4, 64);
  args.q_out = dense_bshd(at(0x200000), 8, 4, 64);
  args.k = dense_bshd(at(0x300000), 8, 2, 64);
  args.k_out = dense_bshd(at(0x400000), 8, 2, 64);
  return args;
}

struct Call {
  RopeSpec spec = base_spec();
  RopeArgs args = base_args();
};

std::string verdict(const std::function<void(Call&)>& change) {
  Call call;
  change(call);
  return refusal([&] { check_args(call.spec, call.args); });
}

/// A call with a table of 10 rows of 16 cosines.
Call table_call() {
  Call call;
  call.spec.angles = AngleSource::table;
  call.args.table = {static_cast<float*>(at(0x500000)), static_cast<float*>(at(0x600000)), 10, 16,
                     16};
  return call;
}

std::string table_verdict(const std::function<void(CosSinTable&)>& change) {
  Call call = table_call();
  change(call.args.table);
  return refusal([&] { check_args(call.spec, call.args); });
}

constexpr const char* kDisjoint =
    "; an output must be disjoint from every other tensor of the call, or be its own input (same "
    "data and strides: in place)";

}  // namespace

TEST_CASE("a good call is accepted: out of place, in place, only q, only k") {
  CHECK(verdict([](Call&) {}) == "accepted");
  CHECK(verdict([](Call& c) { c.args.q_out = c.args.q; }) == "accepted");
  CHECK(verdict([](Call& c) {
          c.args.q_out = c.args.q;
          c.args.k_out = c.args.k;
        }) == "accepted");
  CHECK(verdict([](Call& c) { c.args.k = c.args.k_out = Tensor{}; }) == "accepted");
  CHECK(verdict([](Call& c) { c.args.q = c.args.q_out = Tensor{}; }) == "accepted");
}

TEST_CASE("negative counts are refused, even beside a zero") {
  CHECK(verdict([](Call& c) { c.args.batch = -1; }) ==
        "invalid_argument: batch = -1: must not be negative");
  CHECK(verdict([](Call& c) { c.args.seq = -7; }) ==
        "invalid_argument: seq = -7: must not be negative");
  CHECK(verdict([](Call& c) {
          c.args.batch = 0;
          c.args.seq = -7;
        }) == "invalid_argument: seq = -7: must not be negative");
}

TEST_CASE("a call without tokens is good whatever its pointers are") {
  for (const auto& [batch, seq] : {std::pair{0, 8}, std::pair{2, 0}, std::pair{0, 0}}) {
    RopeArgs args;
    args.batch = batch;
    args.seq = seq;
    CHECK(check_args(base_spec(), args).tokens == 0);
    for (const PositionMode mode : {PositionMode::offset, PositionMode::sequence_offsets,
                                    PositionMode::token_ids, PositionMode::ragged}) {
      RopeSpec spec = base_spec();
      spec.positions = mode;
      spec.angles = AngleSource::table;
      CHECK(refusal([&] { check_args(spec, args); }) == "accepted");
    }
  }
}

TEST_CASE("an accepted call says how many tokens it has, and how far its tensors reach") {
  const Call call;
  const CallFacts facts = check_args(call.spec, call.args);
  CHECK(facts.tokens == call.args.batch * call.args.seq);
  const Tensor& q = call.args.q;
  const std::int64_t last = q.stride_batch * (call.args.batch - 1) +
                            q.stride_seq * (call.args.seq - 1) +
                            q.stride_head * (call.spec.q_heads - 1);
  CHECK(facts.span_bytes == (last + call.spec.head_dim) * size_of(call.spec.dtype));

  for (Tensor RopeArgs::*tensor :
       {&RopeArgs::q, &RopeArgs::q_out, &RopeArgs::k, &RopeArgs::k_out}) {
    const bool is_q = tensor == &RopeArgs::q || tensor == &RopeArgs::q_out;
    for (const auto& [sign, dim] : {std::pair{1, 1}, std::pair{-1, 1}, std::pair{1, -3}}) {
      Call far;
      far.args.*tensor = {at(1ull << 50), std::int64_t{sign} << 33, sign << 29, sign << 20, dim};
      const std::int64_t reach = (std::int64_t{1} << 33) + 7 * (std::int64_t{1} << 29) +
                                 (is_q ? 3 : 1) * (std::int64_t{1} << 20);
      CHECK(check_args(far.spec, far.args).span_bytes == 2 * (reach + 63 * std::abs(dim) + 1));
    }
  }
}

TEST_CASE("a null pointer is refused by name") {
  CHECK(verdict([](Call& c) { c.args.q.data = nullptr; }) ==
        "invalid_argument: q.data = null while q_out.data is given: both or neither (in place: "
        "q_out = q)");
  CHECK(verdict([](Call& c) { c.args.q_out.data = nullptr; }) ==
        "invalid_argument: q_out.data = null while q.data is given: both or neither (in place: "
        "q_out = q)");
  CHECK(verdict([](Call& c) { c.args.k.data = nullptr; }) ==
        "invalid_argument: k.data = null while k_out.data is given: both or neither (in place: "
        "k_out = k)");
  CHECK(verdict([](Call& c) { c.args.k_out.data = nullptr; }) ==
        "invalid_argument: k_out.data = null while k.data is given: both or neither (in place: "
        "k_out = k)");
  CHECK(verdict([](Call& c) { c.args.q = c.args.q_out = c.args.k = c.args.k_out = Tensor{}; }) ==
        "invalid_argument: q.data = null and k.data = null: at least one of them must be given");
}

TEST_CASE("an address between elements is refused; any element's is good") {
  CHECK(verdict([](Call& c) { c.args.q.data = at(0x100001); }) ==
        "invalid_argument: q.data = 0x100001: must be aligned to its 2-byte elements");
  CHECK(verdict([](Call& c) { c.args.q.data = at(0x100002); }) == "accepted");
  CHECK(verdict([](Call& c) {
          c.spec.dtype = Dtype::float32;
          c.args.k_out.data = at(0x400002);
        }) == "invalid_argument: k_out.data = 0x400002: must be aligned to its 4-byte elements");
}

TEST_CASE("an output that overlaps another tensor is refused, whichever it is") {
  const auto overlapping = [](Tensor RopeArgs::*out, std::uintptr_t address) {
    return verdict([&](Call& c) { (c.args.*out).data = at(address); });
  };
  CHECK(overlapping(&RopeArgs::q_out, 0x100080) ==
        std::string("invalid_argument: q_out.data = 0x100080: overlaps q (data = 0x100000)") +
            kDisjoint);
  CHECK(overlapping(&RopeArgs::q_out, 0x300000) ==
        std::string("invalid_argument: q_out.data = 0x300000: overlaps k (data = 0x300000)") +
            kDisjoint);
  CHECK(overlapping(&RopeArgs::q_out, 0x3ffffe) ==
        std::string("invalid_argument: q_out.data = 0x3ffffe: overlaps k_out (data = 0x400000)") +
            kDisjoint);
  CHECK(overlapping(&RopeArgs::k_out, 0x100000) ==
        std::string("invalid_argument: k_out.data = 0x100000: overlaps q (data = 0x100000)") +
            kDisjoint);
  CHECK(overlapping(&RopeArgs::k_out, 0x2ffffe) ==
        std::string("invalid_argument: k_out.data = 0x2ffffe: overlaps k (data = 0x300000)") +
            kDisjoint);
}

TEST_CASE("in place, the other tensor's output is still held apart from it") {
  CHECK(verdict([](Call& c) {
          c.args.q_out = c.args.q;
          c.args.k_out.data = c.args.q.data;
        }).find("q_out.data = 0x100000: overlaps k_out") != std::string::npos);
  CHECK(verdict([](Call& c) {
          c.args.k_out = c.args.k;
          c.args.q_out.data = c.args.k.data;
        }).find("q_out.data = 0x300000: overlaps k") != std::string::npos);
  CHECK(verdict([](Call& c) {
          c.args.q_out = c.args.q;
          c.args.k.data = c.args.q.data;
          c.args.k_out = c.args.k;
        }).find("q_out.data = 0x100000: overlaps k") != std::string::npos);
}

TEST_CASE("inputs may overlap each other, and an input may repeat its rows") {
  CHECK(verdict([](Call& c) { c.args.k.data = c.args.q.data; }) == "accepted");
  CHECK(verdict([](Call& c) { c.args.q.stride_batch = c.args.q.stride_head = 0; }) == "accepted");
}

TEST_CASE("an output whose rows share memory is refused") {
  CHECK(verdict([](Call& c) { c.args.k_out.stride_head = 63; }) ==
        "invalid_argument: k_out: its strides (batch 1024, seq 128, head 63, dim 1) make elements "
        "share memory");
  CHECK(verdict([](Call& c) { c.args.q_out.stride_batch = 0; }) ==
        "invalid_argument: q_out: its strides (batch 0, seq 256, head 64, dim 1) make elements "
        "share memory");
}

TEST_CASE("slices of one packed buffer are rotated in place, each as its own output") {
  CHECK(verdict([](Call& c) {
          c.args.q = c.args.q_out = {at(0x100000), 8 * 512, 512, 64, 1};
          c.args.k = c.args.k_out = {at(0x100000 + 4 * 128), 8 * 512, 512, 64, 1};
        }) == "accepted");
}

TEST_CASE("slices of one packed buffer must not reach into the next token or the next sequence") {
  // 8 tokens of 512 elements: 4 q heads of 64, then 2 k heads, in a sequence of its own length.
  const auto packed = [](std::int64_t stride_seq, std::int64_t stride_batch) {
    return verdict([=](Call& c) {
      c.args.q = c.args.q_out = {at(0x100000), stride_batch, stride_seq, 64, 1};
      c.args.k = c.args.k_out = {at(0x100000 + 4 * 128), stride_batch, stride_seq, 64, 1};
    });
  };
  const std::int64_t seq = Call{}.args.seq;
  CHECK(packed(384, seq * 384) == "accepted");
  CHECK(packed(383, seq * 384).starts_with("invalid_argument: q_out.data"));
  CHECK(packed(512, (seq - 1) * 512 + 384) == "accepted");
  CHECK(packed(512, (seq - 1) * 512 + 383).starts_with("invalid_argument: q_out.data"));
}

TEST_CASE("the same data with other strides is not in place") {
  const std::string refused = verdict([](Call& c) {
    c.args.q_out = c.args.q;
    c.args.q_out.stride_seq *= 2;
    c.args.q_out.stride_batch *= 2;
  });
  CHECK(refused.find("q_out.data = 0x100000: overlaps q (data = 0x100000)") != std::string::npos);
}

TEST_CASE("in place is seen through the strides of dimensions of one element") {
  const auto one_sequence = [](Call& c) {
    c.args.batch = 1;
    c.args.q_out = c.args.q;
    c.args.q_out.stride_batch = 12345;
  };
  CHECK(verdict(one_sequence) == "accepted");
  CHECK(verdict([&](Call& c) {
          one_sequence(c);
          c.args.seq = 1;
          c.args.q_out.stride_seq = -1;
        }) == "accepted");
  CHECK(verdict([&](Call& c) {
          one_sequence(c);
          c.args.batch = 2;
        }) != "accepted");
}

TEST_CASE("ragged tensors have no batch dimension, so its stride is ignored") {
  CHECK(verdict([](Call& c) {
          c.spec.positions = PositionMode::ragged;
          c.args.cu_seqlens = at(0x700000);
          c.args.q_out.stride_batch = 0;
        }) == "accepted");
}

TEST_CASE("negative strides are good: reversed sequences, heads and batches") {
  CHECK(verdict([](Call& c) {
          c.args.q.stride_seq = -c.args.q.stride_seq;
          c.args.q_out = c.args.q;
          c.args.k_out.stride_batch = -c.args.k_out.stride_batch;
          c.args.k_out.stride_head = -c.args.k_out.stride_head;
        }) == "accepted");
}

TEST_CASE("strides that leave the address space are refused") {
  CHECK(verdict([](Call& c) { c.args.q.stride_batch = kTwo56; }) == "accepted");
  CHECK(
      verdict([](Call& c) { c.args.q.stride_batch = kTwo56 + 1; }) ==
      "invalid_argument: q.stride_batch = 72057594037927937: times 1, the last index, it must stay "
      "within 2^56 elements");
  CHECK(verdict([](Call& c) { c.args.k_out.stride_seq = -kTwo56; }) ==
        "invalid_argument: k_out.stride_seq = -72057594037927936: times 7, the last index, it must "
        "stay within "
        "2^56 elements");
  CHECK(verdict([](Call& c) { c.args.q_out.stride_head = INT64_MIN; }) ==
        "invalid_argument: q_out.stride_head = -9223372036854775808: times 3, the last index, it "
        "must stay within "
        "2^56 elements");
  CHECK(verdict([](Call& c) { c.args.k.stride_dim = -kTwo56; }) ==
        "invalid_argument: k.stride_dim = -72057594037927936: times 63, the last index, it must "
        "stay within 2^56 elements");
  CHECK(verdict([](Call& c) {
          c.args.batch = 1;
          c.args.q.stride_batch = INT64_MAX;
        }) == "accepted");
}

TEST_CASE("counts beyond the limits are unsupported, not wrong") {
  const auto count_verdict = [](std::int64_t batch, std::int64_t seq, int heads) {
    Call call;
    call.spec.q_heads = call.spec.kv_heads = heads;
    call.args = {};
    call.args.batch = batch;
    call.args.seq = seq;
    call.args.q = call.args.q_out = {at(0x100000), 0, heads * 64, 64, 1};
    if (batch > 1 && seq <= kTwo40) call.args.q.stride_batch = seq * heads * 64;
    call.args.q_out = call.args.q;
    return refusal([&] { check_args(call.spec, call.args); });
  };
  CHECK(count_verdict(1, kTwo40, 1) == "accepted");
  CHECK(count_verdict(1, kTwo40 + 1, 1) ==
        "unsupported: batch = 1, seq = 1099511627777: at most 2^40 rows (tokens x heads) in one "
        "call");
  CHECK(count_verdict(4, kTwo40 / 2048, 512) == "accepted");
  CHECK(count_verdict(4, kTwo40 / 2048 + 1, 512).starts_with("unsupported: batch = 4, seq = "));
  CHECK(count_verdict(1, INT64_MAX, 512).starts_with("unsupported: batch = 1, seq = "));
  CHECK(count_verdict(kTwo31 - 1, 1, 1) == "accepted");
  CHECK(count_verdict(kTwo31 - 1, INT64_MAX, 512).starts_with("unsupported: batch = 2147483647,"));
  CHECK(count_verdict(kTwo31, 1, 1) ==
        "unsupported: batch = 2147483648: at most 2^31 - 1 sequences");
  CHECK(count_verdict(INT64_MAX, 1, 1).starts_with("unsupported: batch = 9223372036854775807:"));
}

TEST_CASE("positions are required where the mode reads them, and refused where it does not") {
  CHECK(verdict([](Call& c) { c.spec.positions = PositionMode::sequence_offsets; }) ==
        "invalid_argument: positions = null: position mode sequence_offsets needs them");
  CHECK(verdict([](Call& c) { c.spec.positions = PositionMode::token_ids; }) ==
        "invalid_argument: positions = null: position mode token_ids needs them");
  CHECK(verdict([](Call& c) { c.args.positions = at(0x700000); }) ==
        "invalid_argument: positions = 0x700000: position mode offset takes none, but an `offset`");
  CHECK(verdict([](Call& c) {
          c.spec.positions = PositionMode::token_ids;
          c.args.positions = at(0x700000);
          c.args.offset = 3;
        }) == "invalid_argument: offset = 3: position mode token_ids takes none");
  CHECK(verdict([](Call& c) {
          c.spec.positions = PositionMode::token_ids;
          c.args.positions = at(0x700000);
        }) == "accepted");
}

TEST_CASE("cu_seqlens is required by ragged alone; its positions are optional") {
  CHECK(verdict([](Call& c) { c.spec.positions = PositionMode::ragged; }) ==
        "invalid_argument: cu_seqlens = null: position mode ragged needs it");
  CHECK(verdict([](Call& c) { c.args.cu_seqlens = at(0x700000); }) ==
        "invalid_argument: cu_seqlens = 0x700000: position mode offset takes none");
  for (const std::uintptr_t positions : {std::uintptr_t{0}, std::uintptr_t{0x800000}}) {
    CHECK(verdict([&](Call& c) {
            c.spec.positions = PositionMode::ragged;
            c.args.cu_seqlens = at(0x700000);
            c.args.positions = at(positions);
          }) == "accepted");
  }
}

TEST_CASE("index arrays are aligned to their integers") {
  const auto index_verdict = [](IndexType type, std::uintptr_t positions, std::uintptr_t cu) {
    return verdict([&](Call& c) {
      c.spec.positions = PositionMode::ragged;
      c.spec.index_type = type;
      c.args.positions = at(positions);
      c.args.cu_seqlens = at(cu);
    });
  };
  CHECK(index_verdict(IndexType::int32, 0x700004, 0x800004) == "accepted");
  CHECK(index_verdict(IndexType::int32, 0x700002, 0x800000) ==
        "invalid_argument: positions = 0x700002: must be aligned to its 4-byte integers");
  CHECK(index_verdict(IndexType::int64, 0x700000, 0x800004) ==
        "invalid_argument: cu_seqlens = 0x800004: must be aligned to its 8-byte integers");
}

TEST_CASE("a batch stride of positions that leaves the address space is refused") {
  const auto stride_verdict = [](std::int64_t stride) {
    return verdict([&](Call& c) {
      c.spec.positions = PositionMode::token_ids;
      c.args.positions = at(0x700000);
      c.args.position_stride_batch = stride;
    });
  };
  CHECK(stride_verdict(0) == "accepted");
  CHECK(stride_verdict(-100) == "accepted");
  CHECK(stride_verdict(INT64_MAX) ==
        "invalid_argument: position_stride_batch = 9223372036854775807: times 1, the last index, "
        "it must stay within "
        "2^56 elements");
}

TEST_CASE("a bad table is refused by field, value and rule") {
  CHECK(table_verdict([](CosSinTable&) {}) == "accepted");
  CHECK(table_verdict([](CosSinTable& t) { t.cos = nullptr; }) ==
        "invalid_argument: table.cos = null: angle source table needs it");
  CHECK(table_verdict([](CosSinTable& t) { t.sin = nullptr; }) ==
        "invalid_argument: table.sin = null: angle source table needs it");
  CHECK(table_verdict([](CosSinTable& t) { t.sin = static_cast<float*>(at(0x600002)); }) ==
        "invalid_argument: table.sin = 0x600002: must be aligned to 4 bytes");
  CHECK(table_verdict([](CosSinTable& t) { t.rows = -1; }) ==
        "invalid_argument: table.rows = -1: must not be negative");
  CHECK(table_verdict([](CosSinTable& t) { t.columns = 15; }) ==
        "invalid_argument: table.columns = 15: must be at least rotary_dim / 2 = 16");
  CHECK(table_verdict([](CosSinTable& t) { t.row_stride = 15; }) ==
        "invalid_argument: table.row_stride = 15: must be at least table.columns = 16");
  CHECK(table_verdict([](CosSinTable& t) { t.rows = kTwo56; }) ==
        "invalid_argument: table.row_stride = 16: times 72057594037927935, the last index, it must "
        "stay within "
        "2^56 elements");
}

TEST_CASE("a table may be empty, have one row of any stride, and wider rows than needed") {
  CHECK(table_verdict([](CosSinTable& t) { t.rows = 0; }) == "accepted");
  CHECK(table_verdict([](CosSinTable& t) {
          t.rows = 1;
          t.row_stride = 0;
        }) == "accepted");
  CHECK(table_verdict([](CosSinTable& t) { t.row_stride = 32; }) == "accepted");
}

TEST_CASE("a table is refused where angles are exact") {
  CHECK(verdict([](Call& c) { c.args.table = table_call().args.table; }) ==
        "invalid_argument: table.cos = 0x500000, table.sin = 0x600000: angle source exact takes "
        "none");
}

}  // namespace ropejit
