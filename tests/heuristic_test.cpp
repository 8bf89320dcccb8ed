#include "src/heuristic.h"

#include <doctest/doctest.h>

#include "src/source.h"

namespace ropejit {
namespace {

RopeSpec spec_of(int head_dim, Dtype dtype, Layout layout, int alignment) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.dtype = dtype;
  spec.layout = layout;
  spec.q_heads = 32;
  spec.kv_heads = 8;
  spec.alignment = alignment;
  return spec;
}

TEST_CASE("every spec gets a valid config, one for few tokens and one for many") {
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const Layout layout : {Layout::interleaved, Layout::sequential}) {
      for (const int alignment : {4, 8, 16, 32}) {
        for (const int head_dim : {2, 64, 72, 92, 128, 256, 1024}) {
          const RopeSpec spec = spec_of(head_dim, dtype, layout, alignment);
          const LaunchConfig few = heuristic_config(spec, 1);
          const LaunchConfig many = heuristic_config(spec, 8192);
          CHECK_NOTHROW(validate(few));
          CHECK_NOTHROW(validate(many));
          CHECK(heuristic_config(spec, 1024) == few);
          CHECK(heuristic_config(spec, 1025) == many);
        }
      }
    }
  }
}

TEST_CASE("a block of a short call moves 4 KB") {
  const auto threads = [](Dtype dtype, Layout layout) {
    return heuristic_config(spec_of(128, dtype, layout, 16), 8).block_threads;
  };
  CHECK(threads(Dtype::bfloat16, Layout::interleaved) == 256);  // four heads of 4 bytes
  CHECK(threads(Dtype::bfloat16, Layout::sequential) == 128);
  CHECK(threads(Dtype::float32, Layout::interleaved) == 128);
  CHECK(threads(Dtype::float32, Layout::sequential) == 64);
}

TEST_CASE("a thread of a long call moves 16 bytes, by as many heads as that takes") {
  const auto heads = [](int head_dim, Dtype dtype, Layout layout, int alignment) {
    return heuristic_config(spec_of(head_dim, dtype, layout, alignment), 8192).heads_per_thread;
  };
  CHECK(heads(128, Dtype::bfloat16, Layout::sequential, 16) == 1);   // two runs of 8
  CHECK(heads(128, Dtype::bfloat16, Layout::interleaved, 16) == 2);  // one run of 8
  CHECK(heads(92, Dtype::bfloat16, Layout::sequential, 16) == 2);    // two runs of 4
  CHECK(heads(128, Dtype::bfloat16, Layout::sequential, 2) == 4);    // two runs of 2
  CHECK(heads(128, Dtype::float32, Layout::sequential, 16) == 1);
}

TEST_CASE("heads that rotate in part are moved in wide pieces side by side") {
  RopeSpec spec = spec_of(128, Dtype::bfloat16, Layout::sequential, 16);
  spec.rotary_dim = 64;
  CHECK(heuristic_config(spec, 8192) == LaunchConfig{128, 16, Pairing::exchange, 2});
  spec.layout = Layout::interleaved;
  CHECK(heuristic_config(spec, 8192) == LaunchConfig{128, 16, Pairing::registers, 2});
  spec.rotary_dim = 128;
  CHECK(heuristic_config(spec, 8192).access_bytes == 8);
}

TEST_CASE("with a table a thread moves 32 bytes, in the widest pieces") {
  RopeSpec spec = spec_of(128, Dtype::bfloat16, Layout::sequential, 16);
  spec.angles = AngleSource::table;
  CHECK(heuristic_config(spec, 8192) == LaunchConfig{128, 16, Pairing::registers, 1});
  spec.layout = Layout::interleaved;
  CHECK(heuristic_config(spec, 8192) == LaunchConfig{128, 16, Pairing::registers, 2});
}

}  // namespace
}  // namespace ropejit
