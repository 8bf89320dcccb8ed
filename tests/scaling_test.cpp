#include "ropejit/scaling.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/refusal.h"

namespace ropejit {
namespace {

// What separates two ways to round one real number: 2^-62 of a turn; more where long double is a
// plain double.
constexpr std::uint64_t kAllowed = std::numeric_limits<long double>::digits >= 64 ? 4 : 1 << 13;

std::uint64_t distance(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

/// The largest distance between the rates of two sets, in units of 2^-64 turn.
std::uint64_t distance(const Frequencies& a, const Frequencies& b) {
  REQUIRE(a.turns.size() == b.turns.size());
  std::uint64_t worst = 0;
  for (std::size_t i = 0; i < a.turns.size(); ++i) {
    worst = std::max(worst, distance(a.turns[i], b.turns[i]));
  }
  return worst;
}

double ratio(std::uint64_t a, std::uint64_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

RotaryParameters plain(int rotary_dim = 128, double theta = 10000.0) {
  RotaryParameters p;
  p.rotary_dim = rotary_dim;
  p.theta = theta;
  return p;
}

RotaryParameters scaled(Scaling scaling, double factor, std::int64_t original = 0) {
  RotaryParameters p = plain();
  p.scaling = scaling;
  p.factor = factor;
  p.original_max_position_embeddings = original;
  return p;
}

RotaryParameters longrope(double short_factor, double long_factor) {
  RotaryParameters p = scaled(Scaling::longrope, 32.0, 4096);
  p.short_factor.assign(64, short_factor);
  p.long_factor.assign(64, long_factor);
  return p;
}

std::string refused(const RotaryParameters& parameters) {
  const std::string message = refusal([&] { validate(parameters); });
  CHECK(message == refusal([&] { make_frequencies(parameters); }));
  return message;
}

const Frequencies kPlain = make_frequencies(plain());

TEST_CASE("without scaling the frequencies are the plain ones") {
  CHECK(kPlain == default_frequencies(128, 10000.0L));
  CHECK(make_frequencies(plain(), 1 << 20) == kPlain);
}

TEST_CASE("what scaling does not read changes nothing") {
  RotaryParameters p = plain();
  p.factor = -1.0;
  p.attention_factor = 3.0;
  p.short_factor = {1.0};
  p.mscale = 2.0;
  p.original_max_position_embeddings = -5;
  CHECK(make_frequencies(p) == kPlain);
}

TEST_CASE("a factor of 1 leaves every family's frequencies plain") {
  for (const Scaling scaling : {Scaling::linear, Scaling::ntk, Scaling::dynamic_ntk, Scaling::yarn,
                                Scaling::llama3, Scaling::proportional}) {
    CAPTURE(name(scaling));
    RotaryParameters p = scaled(scaling, 1.0, 4096);
    p.head_dim = 128;
    CHECK(distance(make_frequencies(p), kPlain) <= kAllowed);
    CHECK(make_frequencies(p).attention_factor == 1.0f);
  }
  RotaryParameters p = longrope(1.0, 1.0);
  p.factor = 1.0;
  CHECK(make_frequencies(p, 1 << 20) == kPlain);
}

TEST_CASE("linear scaling divides every frequency") {
  const Frequencies frequencies = make_frequencies(scaled(Scaling::linear, 8.0));
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(distance(8 * frequencies.turns[i], kPlain.turns[i]) <= 8 * kAllowed);
  }
}

TEST_CASE("NTK-aware scaling leaves the fastest pair and divides the slowest by the factor") {
  const Frequencies frequencies = make_frequencies(scaled(Scaling::ntk, 4.0));
  CHECK(frequencies.turns[0] == kPlain.turns[0]);
  CHECK(distance(4 * frequencies.turns[63], kPlain.turns[63]) <= 4 * kAllowed);
  // Of 128 dimensions, base · s^(128/126).
  const Frequencies same = default_frequencies(128, 10000.0L * std::pow(4.0L, 128.0L / 126.0L));
  CHECK(distance(frequencies, same) <= kAllowed);
}

TEST_CASE("dynamic NTK is plain up to the trained context and grows beyond it") {
  const RotaryParameters p = scaled(Scaling::dynamic_ntk, 2.0, 4096);
  for (const std::int64_t length : {0, 1, 4096}) CHECK(make_frequencies(p, length) == kPlain);
  // At L = 2M, s · L / M - (s - 1) = 3; at 4M, 7.
  CHECK(distance(make_frequencies(p, 8192), make_frequencies(scaled(Scaling::ntk, 3.0))) <=
        kAllowed);
  CHECK(distance(make_frequencies(p, 16384), make_frequencies(scaled(Scaling::ntk, 7.0))) <=
        kAllowed);
  const Frequencies next = make_frequencies(p, 4097);
  CHECK(next.turns[63] < kPlain.turns[63]);
  CHECK(ratio(next.turns[63], kPlain.turns[63]) == doctest::Approx(1 / (1 + 2.0 / 4096)));
}

TEST_CASE("dynamic NTK with a factor of 1 still stretches beyond the trained context") {
  const RotaryParameters p = scaled(Scaling::dynamic_ntk, 1.0, 4096);
  CHECK(distance(make_frequencies(p, 8192), make_frequencies(scaled(Scaling::ntk, 2.0))) <=
        kAllowed);
}

TEST_CASE("yarn keeps the fast pairs, divides the slow ones, and goes from one to the other") {
  const Frequencies frequencies = make_frequencies(scaled(Scaling::yarn, 40.0, 4096));
  // 128 ln(4096 / (32 · 2π)) / (2 ln 10000) = 20.94 and, for one turn, 45.03.
  for (std::size_t i = 0; i <= 20; ++i) {
    CHECK(distance(frequencies.turns[i], kPlain.turns[i]) <= kAllowed);
  }
  for (std::size_t i = 46; i < 64; ++i) {
    CHECK(distance(40 * frequencies.turns[i], kPlain.turns[i]) <= 40 * kAllowed);
  }
  // In between, the share of the plain frequency falls by 1/26 per pair.
  for (std::size_t i = 20; i <= 46; ++i) {
    const double share = 1 - static_cast<double>(i - 20) / 26;
    CHECK(ratio(frequencies.turns[i], kPlain.turns[i]) ==
          doctest::Approx(share + (1 - share) / 40));
  }
}

TEST_CASE("yarn's ramp begins and ends between pairs where it is not truncated") {
  RotaryParameters p = scaled(Scaling::yarn, 40.0, 4096);
  p.truncate = false;
  const Frequencies frequencies = make_frequencies(p);
  const double low = 64 * std::log(4096 / (32 * 2 * M_PI)) / std::log(10000.0);
  const double high = 64 * std::log(4096 / (2 * M_PI)) / std::log(10000.0);
  CHECK(distance(frequencies.turns[20], kPlain.turns[20]) <= kAllowed);
  CHECK(distance(40 * frequencies.turns[46], kPlain.turns[46]) <= 40 * kAllowed);
  for (std::size_t i = 21; i <= 45; ++i) {
    const double share = 1 - (static_cast<double>(i) - low) / (high - low);
    CHECK(ratio(frequencies.turns[i], kPlain.turns[i]) ==
          doctest::Approx(share + (1 - share) / 40));
  }
}

TEST_CASE("yarn's betas move the ramp") {
  RotaryParameters p = scaled(Scaling::yarn, 4.0, 4096);
  p.beta_fast = 64.0;  // 128 ln(4096 / (64 · 2π)) / (2 ln 10000) = 16.13
  p.beta_slow = 2.0;   // 40.2
  const Frequencies frequencies = make_frequencies(p);
  CHECK(distance(frequencies.turns[16], kPlain.turns[16]) <= kAllowed);
  CHECK(kPlain.turns[17] - frequencies.turns[17] > kPlain.turns[17] / 64);
  CHECK(distance(4 * frequencies.turns[41], kPlain.turns[41]) <= 4 * kAllowed);
  CHECK(4 * frequencies.turns[40] - kPlain.turns[40] > kPlain.turns[40] / 64);
  p.beta_fast = p.beta_slow;
  CHECK_NOTHROW(make_frequencies(p));
}

TEST_CASE("yarn's ramp stays within the pairs") {
  // Trained on so little that hardly a pair turns: the ramp begins at pair 0.
  const Frequencies few = make_frequencies(scaled(Scaling::yarn, 4.0, 16));
  CHECK(few.turns[0] == kPlain.turns[0]);
  CHECK(distance(4 * few.turns[8], kPlain.turns[8]) <= 4 * kAllowed);
  // On so much that all turn fast: none is stretched.
  const Frequencies many = make_frequencies(scaled(Scaling::yarn, 4.0, std::int64_t{1} << 30));
  CHECK(distance(many, kPlain) <= kAllowed);
}

TEST_CASE("yarn's attention factor is 0.1 ln(factor) + 1, a ratio, or given") {
  RotaryParameters p = scaled(Scaling::yarn, 40.0, 4096);
  CHECK(make_frequencies(p).attention_factor == 0.1f * std::log(40.0f) + 1);
  p.mscale = 1.0;
  p.mscale_all_dim = 1.0;
  CHECK(make_frequencies(p).attention_factor == 1.0f);
  p.mscale = 0.707;
  CHECK(make_frequencies(p).attention_factor ==
        doctest::Approx((0.0707 * std::log(40.0) + 1) / (0.1 * std::log(40.0) + 1)));
  p.mscale.reset();
  p.mscale_all_dim.reset();
  p.attention_factor = 1.25;
  CHECK(make_frequencies(p).attention_factor == 1.25f);
}

TEST_CASE("longrope divides by the short list up to the trained context and the long one beyond") {
  RotaryParameters p = longrope(2.0, 64.0);
  p.short_factor[3] = 1.0;
  p.long_factor[3] = 1.0;
  for (const std::int64_t length : {0, 1, 4096}) {
    const Frequencies frequencies = make_frequencies(p, length);
    CHECK(distance(2 * frequencies.turns[5], kPlain.turns[5]) <= 2 * kAllowed);
    CHECK(frequencies.turns[3] == kPlain.turns[3]);
  }
  for (const std::int64_t length : {4097, 131072}) {
    const Frequencies frequencies = make_frequencies(p, length);
    CHECK(distance(64 * frequencies.turns[5], kPlain.turns[5]) <= 64 * kAllowed);
    CHECK(frequencies.turns[3] == kPlain.turns[3]);
  }
}

TEST_CASE("longrope's attention factor is sqrt(1 + ln factor / ln original), or given") {
  RotaryParameters p = longrope(1.0, 2.0);
  const auto expected = static_cast<float>(std::sqrt(1 + 5.0 / 12.0));  // 2^5 and 2^12
  CHECK(make_frequencies(p).attention_factor == expected);
  CHECK(make_frequencies(p, 131072).attention_factor == expected);
  p.attention_factor = 1.5;
  p.factor = 0.0;  // is not read then
  CHECK(make_frequencies(p).attention_factor == 1.5f);
}

TEST_CASE("llama3 keeps the pairs that turn often and divides those that turn less than once") {
  RotaryParameters p = scaled(Scaling::llama3, 8.0, 8192);
  p.theta = 500000.0;
  const Frequencies whole = make_frequencies(plain(128, 500000.0));
  const Frequencies frequencies = make_frequencies(p);
  CHECK(frequencies.attention_factor == 1.0f);
  // 64 ln(8192 / (turns · 2π)) / ln 500000: 28.2 for 4 turns, 34.98 for one.
  for (std::size_t i = 0; i <= 28; ++i) {
    CHECK(distance(frequencies.turns[i], whole.turns[i]) <= kAllowed);
  }
  for (std::size_t i = 35; i < 64; ++i) {
    CHECK(distance(8 * frequencies.turns[i], whole.turns[i]) <= 8 * kAllowed);
  }
  for (std::size_t i = 29; i < 35; ++i) {
    const double turns = 8192 * std::ldexp(static_cast<double>(whole.turns[i]), -64);
    const double smooth = (turns - 1) / 3;
    CHECK(ratio(frequencies.turns[i], whole.turns[i]) ==
          doctest::Approx((1 - smooth) / 8 + smooth));
  }
}

TEST_CASE("proportional frequencies span the head, the pairs past the rotary ones standing still") {
  RotaryParameters p = scaled(Scaling::proportional, 1.0);
  p.rotary_dim = 32;
  p.head_dim = 128;
  const Frequencies frequencies = make_frequencies(p);
  REQUIRE(frequencies.turns.size() == 64);
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(frequencies.turns[i] == (i < 16 ? kPlain.turns[i] : 0));
  }
  p.factor = 2.0;
  CHECK(distance(2 * make_frequencies(p).turns[15], kPlain.turns[15]) <= 2 * kAllowed);
}

TEST_CASE("frequencies fall from pair to pair in every family") {
  for (const Scaling scaling : {Scaling::linear, Scaling::ntk, Scaling::dynamic_ntk, Scaling::yarn,
                                Scaling::longrope, Scaling::llama3}) {
    CAPTURE(name(scaling));
    RotaryParameters p = longrope(1.5, 3.0);
    p.scaling = scaling;
    for (const std::int64_t length : {0, 100000}) {
      const Frequencies frequencies = make_frequencies(p, length);
      REQUIRE(frequencies.turns.size() == 64);
      for (std::size_t i = 1; i < 64; ++i) CHECK(frequencies.turns[i] < frequencies.turns[i - 1]);
    }
  }
}

TEST_CASE("dynamic NTK and longrope alone depend on the length") {
  for (const Scaling scaling : {Scaling::none, Scaling::linear, Scaling::ntk, Scaling::dynamic_ntk,
                                Scaling::yarn, Scaling::longrope, Scaling::llama3}) {
    CAPTURE(name(scaling));
    RotaryParameters p = longrope(1.5, 3.0);
    p.scaling = scaling;
    CHECK(depends_on_length(p) == (make_frequencies(p, 4096) != make_frequencies(p, 4097)));
    CHECK(make_frequencies(p, 0) == make_frequencies(p, 4096));
  }
}

TEST_CASE("scalings have transformers' names") {
  CHECK(name(Scaling::none) == "default");
  CHECK(name(Scaling::dynamic_ntk) == "dynamic");
  CHECK(name(Scaling::longrope) == "longrope");
}

TEST_CASE("a bad shape or base is refused by name, value and rule") {
  CHECK(refused(plain(63)) == "invalid_argument: rotary_dim = 63: must be even and at least 2");
  CHECK(refused(plain(0)) == "invalid_argument: rotary_dim = 0: must be even and at least 2");
  CHECK(refused(plain(64, 0.5)) ==
        "invalid_argument: theta = 0.5: must be a finite number of at least 1");
  RotaryParameters p = scaled(Scaling::proportional, 1.0);
  p.head_dim = 64;
  CHECK(refused(p) ==
        "invalid_argument: head_dim = 64: must be even and at least rotary_dim (128)");
  for (const Scaling scaling : {Scaling::ntk, Scaling::dynamic_ntk}) {
    RotaryParameters narrow = scaled(scaling, 2.0, 4096);
    narrow.rotary_dim = 2;
    CHECK(refused(narrow) == "invalid_argument: rotary_dim = 2: must be at least 4 for " +
                                 std::string(name(scaling)) + ", whose exponent is d / (d - 2)");
  }
  CHECK(refusal([] { make_frequencies(plain(), -1); }) ==
        "invalid_argument: length = -1: must not be negative");
}

TEST_CASE("a factor below 1 and a missing trained context are refused") {
  for (const Scaling scaling : {Scaling::linear, Scaling::ntk, Scaling::dynamic_ntk, Scaling::yarn,
                                Scaling::longrope, Scaling::llama3, Scaling::proportional}) {
    CAPTURE(name(scaling));
    RotaryParameters p = longrope(1.5, 3.0);
    p.scaling = scaling;
    p.head_dim = 128;
    p.factor = 0.0;
    CHECK(refused(p) == "invalid_argument: factor = 0: must be a finite number of at least 1");
    p.factor = -2.5;
    CHECK(refused(p) == "invalid_argument: factor = -2.5: must be a finite number of at least 1");
    p.factor = std::numeric_limits<double>::quiet_NaN();
    CHECK(refused(p) == "invalid_argument: factor = nan: must be a finite number of at least 1");
  }
  for (const Scaling scaling :
       {Scaling::dynamic_ntk, Scaling::yarn, Scaling::longrope, Scaling::llama3}) {
    RotaryParameters p = longrope(1.5, 3.0);
    p.scaling = scaling;
    p.original_max_position_embeddings = 0;
    CHECK(refused(p) ==
          "invalid_argument: original_max_position_embeddings = 0: must be at least 1");
  }
}

TEST_CASE("yarn's fields are refused by name, value and rule") {
  const auto with = [](auto change) {
    RotaryParameters p = scaled(Scaling::yarn, 4.0, 4096);
    change(p);
    return refused(p);
  };
  CHECK(with([](auto& p) { p.beta_slow = 0.0; }) ==
        "invalid_argument: beta_slow = 0: must be a finite number above 0");
  CHECK(with([](auto& p) { p.beta_fast = 0.5; }) ==
        "invalid_argument: beta_fast = 0.5: must be finite and at least beta_slow (1)");
  CHECK(with([](auto& p) { p.original_max_position_embeddings = 4; }) ==
        "invalid_argument: original_max_position_embeddings = 4: puts yarn's ramp outside of the "
        "pairs: from 0 to -3");
  CHECK(with([](auto& p) { p.original_max_position_embeddings = std::int64_t{1} << 40; }) ==
        "invalid_argument: original_max_position_embeddings = 1099511627776: puts yarn's ramp "
        "outside of the pairs: from 155 to 127");
  CHECK(with([](auto& p) { p.mscale = 1.0; }) ==
        "invalid_argument: mscale = 1: needs mscale_all_dim as well: the attention factor is the "
        "ratio of the two");
  CHECK(with([](auto& p) { p.mscale_all_dim = 1.0; }) ==
        "invalid_argument: mscale_all_dim = 1: needs mscale as well: the attention factor is the "
        "ratio of the two");
  CHECK(with([](auto& p) {
          p.mscale = 1.0;
          p.mscale_all_dim = 0.0;
        }) == "invalid_argument: mscale_all_dim = 0: must be from 1e-30 to 1e30");
  CHECK(with([](auto& p) {
          p.mscale = 1.0;
          p.mscale_all_dim = 1.0;
          p.attention_factor = 1.0;
        }) ==
        "invalid_argument: mscale = 1: would have no effect beside attention_factor; give one of "
        "them");
  CHECK(with([](auto& p) { p.attention_factor = 0.0; }) ==
        "invalid_argument: attention_factor = 0: must be from 1e-30 to 1e30");
  CHECK(with([](auto& p) { p.theta = 1.0; }) ==
        "invalid_argument: theta = 1: must be above 1 for yarn, which divides by its log");
}

TEST_CASE("longrope's lists need one number per pair") {
  RotaryParameters p = longrope(1.0, 2.0);
  p.long_factor.pop_back();
  CHECK(refused(p) ==
        "invalid_argument: long_factor = a list of 63: must have rotary_dim / 2 = 64 numbers");
  p = longrope(1.0, 2.0);
  p.short_factor.clear();
  CHECK(refused(p) ==
        "invalid_argument: short_factor = a list of 0: must have rotary_dim / 2 = 64 numbers");
  p = longrope(1.0, 2.0);
  p.long_factor[7] = 0.0;
  CHECK(refused(p) ==
        "invalid_argument: long_factor[7] = 0: must be a finite number of at least 0.16");
  p = longrope(0.16, 2.0);  // the least: the first pair makes nearly a turn per position
  CHECK_NOTHROW(make_frequencies(p));
  p.original_max_position_embeddings = 1;
  CHECK(refused(p) ==
        "invalid_argument: original_max_position_embeddings = 1: must be at least 2 for longrope "
        "without attention_factor, which divides by its log");
}

TEST_CASE("llama3's bounds must be in order") {
  RotaryParameters p = scaled(Scaling::llama3, 8.0, 8192);
  p.low_freq_factor = 4.0;
  CHECK(refused(p) ==
        "invalid_argument: high_freq_factor = 4: must be finite and above low_freq_factor (4)");
  p.low_freq_factor = 0.0;
  CHECK(refused(p) == "invalid_argument: low_freq_factor = 0: must be a finite number above 0");
}

}  // namespace
}  // namespace ropejit
