#include "src/tuning_distance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "src/text.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

SpecClass changed(const std::function<void(SpecClass&)>& change) {
  SpecClass spec = spec_class(llama_spec());
  change(spec);
  return spec;
}

/// The distance of a changed spec class from the reference, both ways.
double distance(const std::function<void(SpecClass&)>& change) {
  const SpecClass reference = spec_class(llama_spec()), other = changed(change);
  const auto there = spec_distance(reference, other), back = spec_distance(other, reference);
  REQUIRE(there.has_value());
  CHECK(there == back);
  return *there;
}

}  // namespace

TEST_CASE("a spec class is at no distance from itself, and at some from every other") {
  CHECK(distance([](SpecClass&) {}) == 0);
  CHECK(distance([](SpecClass& s) { s.head_dim = 136; }) > 0);
  CHECK(distance([](SpecClass& s) { s.rotary_dim = 112; }) > 0);
  CHECK(distance([](SpecClass& s) { s.dtype = Dtype::float16; }) > 0);
  CHECK(distance([](SpecClass& s) { s.q_heads = 33; }) > 0);
  CHECK(distance([](SpecClass& s) { s.kv_heads = 9; }) > 0);
  CHECK(distance([](SpecClass& s) { s.positions = PositionMode::ragged; }) > 0);
  CHECK(distance([](SpecClass& s) { s.alignment = 8; }) > 0);
}

TEST_CASE("layouts, angles and element sizes that differ have nothing to tell about each other") {
  const SpecClass reference = spec_class(llama_spec());
  CHECK_FALSE(
      spec_distance(reference, changed([](SpecClass& s) { s.layout = Layout::interleaved; })));
  CHECK_FALSE(spec_distance(reference, changed([](SpecClass& s) { s.dtype = Dtype::float32; })));
  CHECK_FALSE(
      spec_distance(reference, changed([](SpecClass& s) { s.angles = AngleSource::table; })));
}

TEST_CASE("heads that allow accesses of other widths have nothing to tell about each other") {
  const auto whole_head = [](int head_dim, Layout layout) {
    RopeSpec spec = llama_spec();
    spec.head_dim = spec.rotary_dim = head_dim;
    spec.layout = layout;
    return spec_class(spec);
  };
  // A half of 92 elements is 92 bytes, of 96 elements 96.
  const SpecClass near = whole_head(96, Layout::sequential);
  CHECK_FALSE(spec_distance(whole_head(92, Layout::sequential), near));
  CHECK_FALSE(spec_distance(whole_head(88, Layout::sequential), near));
  // A head of 88 elements is 176 bytes.
  CHECK(spec_distance(whole_head(88, Layout::interleaved), whole_head(96, Layout::interleaved)));
  CHECK_FALSE(
      spec_distance(whole_head(92, Layout::interleaved), whole_head(96, Layout::interleaved)));
}

TEST_CASE("a dimension counts by how often it is doubled, and the parts add up") {
  CHECK(distance([](SpecClass& s) { s.head_dim = 256; }) == doctest::Approx(kHeadDimWeight));
  CHECK(distance([](SpecClass& s) { s.head_dim = 32; }) == doctest::Approx(2 * kHeadDimWeight));
  CHECK(distance([](SpecClass& s) { s.rotary_dim = 64; }) == doctest::Approx(kRotaryDimWeight));
  CHECK(distance([](SpecClass& s) { s.q_heads = 8; }) == doctest::Approx(2 * kQHeadsWeight));
  CHECK(distance([](SpecClass& s) { s.kv_heads = 1; }) == doctest::Approx(3 * kKvHeadsWeight));
  CHECK(distance([](SpecClass& s) { s.alignment = 32; }) == doctest::Approx(kAlignmentWeight));
  CHECK(distance([](SpecClass& s) { s.dtype = Dtype::float16; }) == kDtypePenalty);
  CHECK(distance([](SpecClass& s) { s.positions = PositionMode::ragged; }) == kPositionsPenalty);
  CHECK(distance([](SpecClass& s) {
          s.head_dim = s.rotary_dim = 96;
          s.dtype = Dtype::float16;
        }) == doctest::Approx((kHeadDimWeight + kRotaryDimWeight) * std::log2(128.0 / 96) +
                              kDtypePenalty));
}

TEST_CASE("half the heads, or another alignment, is still near; another shape of a head is not") {
  CHECK(distance([](SpecClass& s) { s.q_heads = s.kv_heads = 4; }) <= kMostDistance);
  CHECK(distance([](SpecClass& s) { s.alignment = 8; }) <= kMostDistance);
  CHECK(distance([](SpecClass& s) { s.head_dim = s.rotary_dim = 64; }) > kMostDistance);
  CHECK(distance([](SpecClass& s) { s.head_dim = s.rotary_dim = 96; }) > kMostDistance);
  CHECK(distance([](SpecClass& s) { s.rotary_dim = 64; }) > kMostDistance);
}

TEST_CASE("the documentation has the weights") {
  const std::string text = read_text(ROPEJIT_SOURCE_DIR "/docs/tuning.md");
  const auto row = [](const std::string& what, double weight) {
    std::string number = std::to_string(weight);
    number.erase(number.find_last_not_of('0') + 1);
    if (number.ends_with('.')) number.pop_back();
    return "| " + what + " | " + number + " |";
  };
  for (const std::string& line :
       {row("head_dim, per doubling", kHeadDimWeight),
        row("rotary_dim, per doubling", kRotaryDimWeight),
        row("q_heads, per doubling", kQHeadsWeight), row("kv_heads, per doubling", kKvHeadsWeight),
        row("alignment, per doubling", kAlignmentWeight),
        row("tokens, per doubling", kTokensWeight),
        row("another dtype of that size", kDtypePenalty), row("other positions", kPositionsPenalty),
        row("the most that is near", kMostDistance)}) {
    CAPTURE(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

}  // namespace ropejit
