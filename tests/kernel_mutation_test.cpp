#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "src/source.h"
#include "tools/verify.h"

// Kernels that are wrong on purpose: `ropejit verify` and the kernel matrix, which check alike,
// must see every one of these mistakes. Most of them have been made in published kernels.
namespace ropejit {
namespace {

struct Mutation {
  std::string mistake;
  std::string from;
  std::string to;
  RopeSpec spec;
  LaunchConfig config = {64, 16, Pairing::exchange, 4};
};

constexpr LaunchConfig kRegisters = {64, 16, Pairing::registers, 4};

/// 32/8 would hide a head count that is taken from the wrong tensor behind few tokens; 6/4 does
/// not.
RopeSpec base_spec() {
  RopeSpec spec;
  spec.head_dim = 32;
  spec.rotary_dim = 16;
  spec.q_heads = 6;
  spec.kv_heads = 4;
  return spec;
}

RopeSpec with(PositionMode positions) {
  RopeSpec spec = base_spec();
  spec.positions = positions;
  return spec;
}

RopeSpec with(Dtype dtype) {
  RopeSpec spec = base_spec();
  spec.dtype = dtype;
  return spec;
}

RopeSpec with(Layout layout) {
  RopeSpec spec = base_spec();
  spec.layout = layout;
  return spec;
}

RopeSpec inverse() {
  RopeSpec spec = base_spec();
  spec.direction = Direction::inverse;
  return spec;
}

RopeSpec with_table() {
  RopeSpec spec = base_spec();
  spec.angles = AngleSource::table;
  return spec;
}

std::vector<Mutation> mutations() {
  const RopeSpec base = base_spec();
  return {
      {"the sine's sign is flipped", "fused(-b, sine, x * cosine)", "fused(b, sine, x * cosine)",
       base},
      {"the second half begins in the middle of the head", "run * (kRotaryDim() / 2)",
       "run * (kHeadDim() / 2)", base, kRegisters},
      {"the partner's half begins in the middle of the head", "int(side) * (kRotaryDim() / 2)",
       "int(side) * (kHeadDim() / 2)", base},
      {"positions are off by one", "i64(u64(p.offset) + seq)", "i64(u64(p.offset) + seq + 1)",
       base},
      {"the cosine lacks the attention factor", "out.cos[i] *= p.attention_factor;", "", base},
      {"the phase has 32 bits", "mul_high(low, turns_low) + low * turns_high + high * turns_low",
       "low * turns_high", base},
      {"the angle is formed in float",
       "phase_of(position, from.turns.word[2 * i], from.turns.word[2 * i + 1])",
       "i32(i64(float(position) * float(from.turns.word[2 * i + 1])))", base},
      {"the layouts are swapped", "kLayout() { return Layout::sequential",
       "kLayout() { return Layout::interleaved", base, kRegisters},
      {"the other layout's swapped as well", "kLayout() { return Layout::interleaved",
       "kLayout() { return Layout::sequential", with(Layout::interleaved)},
      {"the rest of the head is not copied", "copy_rest(tensor, dim, in, piece);", "{}", base},
      {"all of the head rotates", "kRotaryDim() { return 16", "kRotaryDim() { return 32", base},
      {"the output takes the input's head stride", "head * Signed<Index>(tensor.out_head)",
       "head * Signed<Index>(tensor.in_head)", base},
      {"k takes q's head count", "rope<kKvHeads(), Index>(p, p.k", "rope<kQHeads(), Index>(p, p.k",
       base},
      {"the output's elements are spaced as the input's", "dim_stride(dim.out)",
       "dim_stride(dim.in)", base},
      {"k's elements are spaced as q's", "p.k_dim", "p.q_dim", base},
      {"neighbours lie side by side", "step(dim.in)", "kRotaryBytes()", with(Layout::interleaved)},
      {"neighbours are written side by side", "step(dim.out)", "kRotaryBytes()",
       with(Layout::interleaved)},
      {"elements that pass through lie side by side", "at * dim_stride(dim.in);\n    if",
       "at;\n    if", base},
      {"no elements lie apart", "kRotaryAccess() == 1 && kPassPiece() == 1", "false", base},
      {"k takes q's strides", "rope<kKvHeads(), Index>(p, p.k",
       "RopeTensor k = p.k; k.in_seq = p.q.in_seq; rope<kKvHeads(), Index>(p, k", base},
      {"every token belongs to the first sequence", "batch = sequence_of_token(p, token)",
       "batch = 0", with(PositionMode::sequence_offsets)},
      {"rows of ids are taken for dense", "u64(i64(batch) * p.position_stride)", "batch * p.seq",
       with(PositionMode::token_ids)},
      {"ragged positions count from the first token",
       "token - u64(index_at(p.cu_seqlens, sequence))", "token", with(PositionMode::ragged)},
      {"tokens of no sequence are rotated", "{0, token, 0, false}", "{0, token, 0, true}",
       with(PositionMode::ragged)},
      {"empty sequences are not passed over", "index_at(cu_seqlens, middle) <= token",
       "index_at(cu_seqlens, middle) < token", with(PositionMode::ragged)},
      {"inverse is forward", "kDirection() == Direction::forward ?", "true ?", inverse()},
      {"the table is read one row too far", "position >= p.table_rows", "position > p.table_rows",
       with_table()},
      {"the table is read before its first row", "position < 0 ||", "", with_table()},
      {"bfloat16 is cut off, not rounded", "(bits + 0x7fff + ((bits >> 16) & 1)) >> 16",
       "bits >> 16", base},
      {"float16 is cut off, not rounded", "0xfff + ((magnitude >> 13) & 1)", "0",
       with(Dtype::float16)},
      {"2 pi has four digits", "6.283185482f", "6.283f", with(Dtype::float32)},
      {"the last block is left out", "in_chunk < p.q_blocks", "in_chunk + 1 < p.q_blocks", base},
      {"what the partner gave is not given back",
       "if constexpr (kExchange()) swap_rows(lanes);\n  }", "}", base},
      {"the partner is the next lane", "lane ^ kHalfWarp()", "lane ^ 1", base},
      {"both sides rotate the same pairs", "int(side) * (kPiece() / 2)", "0", base},
      {"a last group of heads is taken for a whole one", "row >= rows", "row >= kRows<kHeads>",
       base},
      {"all heads of a thread are the first one", "row * tensor.in_head", "0 * tensor.in_head",
       base},
      {"nothing turns", "kRotate() { return true", "kRotate() { return false", base},
      {"accesses are wider than the alignment", "kRotaryBytes() { return 2;",
       "kRotaryBytes() { return 16;", base},
  };
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos) return text;
  for (; at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

int failed_cases(const Mutation& mutation, const HostExecutor::Options& options) {
  Frequencies frequencies = default_frequencies(mutation.spec.rotary(), 10000.0L);
  frequencies.attention_factor = 1.25f;
  HostExecutor executor(options);
  int failed = 0;
  for (VerifyCase test : cases_for(mutation.spec, frequencies)) {
    test.config = mutation.config;
    if (!run_case(test, executor).passed) ++failed;
  }
  return failed;
}

/// Whether `call` returns above 0 in a process of its own, or ends it: a wrong kernel may write
/// anywhere.
bool fails_in_a_child(const std::function<int()>& call) {
  const pid_t child = ::fork();
  if (child == 0) {
    int failed = 0;
    try {
      failed = call();
    } catch (...) {
    }
    ::_exit(failed > 0 ? 1 : 0);  // nothing of the parent's is flushed or destroyed here
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status != 0;
}

TEST_CASE("verify passes for the kernels that the mistakes are made in") {
  for (const Mutation& mutation : mutations()) CHECK(failed_cases(mutation, {}) == 0);
}

TEST_CASE("verify fails for every kernel that is wrong") {
  for (const Mutation& mutation : mutations()) {
    CAPTURE(mutation.mistake);
    const std::vector<RopeSpec> kernels = kernel_specs(mutation.spec);
    const bool is_there =
        render(kernels.front(), mutation.config).text.find(mutation.from) != std::string::npos ||
        render(kernels.back(), mutation.config).text.find(mutation.from) != std::string::npos;
    CHECK(is_there);
    HostExecutor::Options options;
    options.edit_text = [&](const std::string& text) {
      return replace_all(text, mutation.from, mutation.to);
    };
    CHECK(fails_in_a_child([&] { return failed_cases(mutation, options); }));
  }
}

}  // namespace
}  // namespace ropejit
