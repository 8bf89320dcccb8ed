#include "tools/benchmark_suite.h"

#include <array>
#include <cstdint>
#include <utility>

namespace ropejit {
namespace {

constexpr std::array kDtypes = {Dtype::float32, Dtype::float16, Dtype::bfloat16};
constexpr std::array kLayouts = {Layout::interleaved, Layout::sequential};
constexpr std::array kPlaces = {false, true};  // in place

constexpr std::int64_t kPrefillTokens = 8192;

struct Shape {
  int head_dim = 128;
  int rotary_dim = 128;
  int q_heads = 32;
  int kv_heads = 8;
};

Workload workload_of(const Shape& shape, Dtype dtype, Layout layout) {
  Workload workload;
  RopeSpec& spec = workload.spec;
  spec.head_dim = shape.head_dim;
  spec.rotary_dim = shape.rotary_dim;
  spec.q_heads = shape.q_heads;
  spec.kv_heads = shape.kv_heads;
  spec.dtype = dtype;
  spec.layout = layout;
  workload.frequencies = default_frequencies(shape.rotary_dim, 10000.0L);
  workload.tokens = kPrefillTokens;
  return workload;
}

/// The shape in every dtype and layout; out of place.
std::vector<Workload> every_type(const Shape& shape) {
  std::vector<Workload> workloads;
  for (const Dtype dtype : kDtypes) {
    for (const Layout layout : kLayouts) workloads.push_back(workload_of(shape, dtype, layout));
  }
  return workloads;
}

/// Every workload with what `set(workload, value)` makes of it for each value, one after the other.
template <class Values, class Set>
std::vector<Workload> each_with(const std::vector<Workload>& workloads, const Values& values,
                                Set set) {
  std::vector<Workload> all;
  for (const Workload& workload : workloads) {
    for (const auto& value : values) {
      all.push_back(workload);
      set(all.back(), value);
    }
  }
  return all;
}

std::vector<Workload> in_place_and_not(const std::vector<Workload>& workloads) {
  return each_with(workloads, kPlaces,
                   [](Workload& workload, bool in_place) { workload.in_place = in_place; });
}

template <class Tokens>
std::vector<Workload> with_tokens(const std::vector<Workload>& workloads, const Tokens& tokens) {
  return each_with(workloads, tokens,
                   [](Workload& workload, std::int64_t count) { workload.tokens = count; });
}

void append(std::vector<Workload>& to, std::vector<Workload> more) {
  for (Workload& workload : more) to.push_back(std::move(workload));
}

std::vector<Workload> grid() {
  constexpr std::array<std::pair<int, int>, 4> kHeads = {{{32, 8}, {32, 32}, {64, 8}, {28, 4}}};
  constexpr std::array kAngles = {AngleSource::exact, AngleSource::table};
  constexpr std::array<std::int64_t, 2> kTokens = {8192, 32768};
  std::vector<Workload> specs;
  for (const auto& [q_heads, kv_heads] : kHeads) {
    for (const int head_dim : {64, 128, 256}) {
      append(specs, every_type({head_dim, head_dim, q_heads, kv_heads}));
    }
  }
  specs = each_with(specs, kAngles,
                    [](Workload& workload, AngleSource angles) { workload.spec.angles = angles; });
  return with_tokens(in_place_and_not(specs), kTokens);
}

std::vector<Workload> head_sizes() {
  std::vector<Workload> workloads;
  for (const int head_dim : {72, 80, 92, 96, 112, 160, 192}) {
    append(workloads, every_type({head_dim, head_dim}));
  }
  return workloads;
}

std::vector<Workload> partial_rotation() {
  // Pythia, Phi-2, GLM-4, GPT-J; and less than half of the usual head.
  constexpr std::array<std::pair<int, int>, 5> kSizes = {
      {{64, 16}, {80, 32}, {128, 64}, {256, 64}, {128, 32}}};
  std::vector<Workload> workloads;
  for (const auto& [head_dim, rotary_dim] : kSizes) {
    append(workloads, every_type({head_dim, rotary_dim}));
  }
  return in_place_and_not(workloads);
}

std::vector<Workload> head_counts() {
  std::vector<Workload> workloads;
  for (const int q_heads : {17, 71}) {
    for (const int head_dim : {64, 128}) {
      append(workloads, every_type({head_dim, head_dim, q_heads, 1}));
    }
  }
  return workloads;
}

std::vector<Workload> strides() {
  constexpr std::array kStrides = {Strides::bhsd, Strides::padded};
  return in_place_and_not(
      each_with(every_type({}), kStrides,
                [](Workload& workload, Strides value) { workload.strides = value; }));
}

}  // namespace

std::vector<BenchmarkGroup> benchmark_suite() {
  constexpr std::array<std::int64_t, 2> kMiddle = {512, 2048};
  constexpr std::array<std::int64_t, 9> kDecode = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  return {
      {"grid", BenchmarkTarget{0.99, 0.97}, grid()},
      {"head sizes", BenchmarkTarget{0.9, 0.9}, head_sizes()},
      {"partial rotation", BenchmarkTarget{0.9, 0.9}, partial_rotation()},
      {"head counts", BenchmarkTarget{0.9, 0.9}, head_counts()},
      {"strides", BenchmarkTarget{0.9, 0.9}, strides()},
      {"512 and 2048 tokens", BenchmarkTarget{0.97, 0.97}, with_tokens(every_type({}), kMiddle)},
      {"decode", BenchmarkTarget{1 / 1.1, 1 / 1.1, true}, with_tokens(every_type({}), kDecode)},
  };
}

}  // namespace ropejit
