#include "tools/tune_select.h"

#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <random>
#include <vector>

namespace ropejit {
namespace {

constexpr LaunchConfig kFirst{192, 16, Pairing::registers, 1};
constexpr LaunchConfig kSecond{256, 8, Pairing::exchange, 4};

/// A cell of which nothing is known yet; its default is 128 threads, 16 bytes, exchange, 2 heads.
CellRecord cell() {
  CellRecord record;
  record.spec.head_dim = 128;
  record.spec.q_heads = 32;
  record.spec.kv_heads = 8;
  record.tokens = 4096;
  return record;
}

LaunchConfig given() { return default_config(cell().spec, 4096); }

/// Adds a config with the same time in rounds `from` to `to` - 1, times `level(round)`.
void add(CellRecord& record, const LaunchConfig& config, double us, int to = 12, int from = 0) {
  Candidate candidate;
  candidate.config = config;
  for (int round = from; round < to; ++round) {
    const double level = 2 - 0.03 * round + 0.1 * std::sin(round);  // more than configs differ
    candidate.rounds.push_back({round, {us * level, us * level}});
  }
  record.candidates.push_back(candidate);
}

/// The same with noise of its own.
void add_noisy(CellRecord& record, const LaunchConfig& config, double us, double spread,
               int rounds) {
  std::mt19937_64 random(record.candidates.size() + 1);
  std::normal_distribution<double> normal;
  add(record, config, us, rounds);
  double sum = 0;
  std::vector<double> noise;
  for (int i = 0; i < rounds; ++i) sum += noise.emplace_back(spread * normal(random));
  for (int i = 0; i < rounds; ++i) {
    CallTimes& times = record.candidates.back().rounds[static_cast<std::size_t>(i)].times;
    times.in_place_us *= 1 + 2 * (noise[static_cast<std::size_t>(i)] - sum / rounds);
  }
}

LaunchConfig chosen(const CellRecord& record) { return choose(record).value().config; }

}  // namespace

TEST_CASE("of any two configs exactly one is simpler, and the criteria rank as they say") {
  const std::vector<LaunchConfig> space = tune_space(cell().spec, 8192, {10, 0, 132, 62914560});
  for (const LaunchConfig& a : space) {
    for (const LaunchConfig& b : space) CHECK((simpler(a, b) != simpler(b, a)) == (a != b));
  }
  const LaunchConfig ranked[] = {
      {128, 16, Pairing::registers, 1}, {96, 16, Pairing::registers, 1},
      {160, 16, Pairing::registers, 1}, {64, 16, Pairing::registers, 1},
      {128, 8, Pairing::registers, 1},  {128, 16, Pairing::registers, 2},
      {128, 16, Pairing::exchange, 1},  {128, 16, Pairing::registers, 1, true},
  };
  for (std::size_t i = 1; i < std::size(ranked); ++i) CHECK(simpler(ranked[i - 1], ranked[i]));
  for (const SimplicityCriterion& criterion : simplicity_criteria()) {
    CHECK_FALSE(criterion.name.empty());
  }
}

TEST_CASE("standings compare round by round, whatever drifts, the fastest first") {
  CellRecord record = cell();
  add(record, given(), 10.3);
  add(record, kFirst, 10);
  add(record, kSecond, 12);
  const std::vector<Standing> all = standings(record);
  REQUIRE(all.size() == 3);
  CHECK(all[0].config == kFirst);
  CHECK(all[0].excess == 0);
  CHECK(all[1].config == given());
  CHECK(all[1].excess == doctest::Approx(0.03));
  CHECK(all[1].low == doctest::Approx(0.03));
  CHECK(all[1].high == doctest::Approx(0.03));
  CHECK(all[1].us == doctest::Approx(all[0].us * 1.03));
  CHECK(all[2].excess == doctest::Approx(0.2));
}

TEST_CASE("only the final rounds count") {
  CellRecord record = cell();
  record.final_from = 2;
  add(record, given(), 10);
  add(record, kFirst, 11);
  add(record, kSecond, 1, 2);
  for (std::size_t i = 0; i < 2; ++i) record.candidates[1].rounds[i].times = {0.1, 0.1};
  const std::vector<Standing> all = standings(record);
  REQUIRE(all.size() == 2);
  CHECK(all[0].config == given());
}

TEST_CASE("who left early is compared by the rounds that it took part in") {
  CellRecord record = cell();
  add(record, given(), 10, 36);
  add(record, kFirst, 9, 12);
  add(record, kSecond, 11, 20, 12);
  const std::vector<Standing> all = standings(record);
  CHECK(all[0].config == kFirst);
  CHECK(all[1].config == given());
  CHECK(all[1].excess == doctest::Approx(1 / 0.9 - 1));
  // It never met the fastest, so it is not known to be slower than that.
  CHECK(all[2].config == kSecond);
  CHECK_FALSE(all[2].as_fast());
}

TEST_CASE("the default is chosen unless another is faster by more than makes a difference") {
  for (const double excess : {-0.1, 0.0, 0.019}) {
    CellRecord record = cell();
    add(record, kFirst, 10);
    add(record, given(), 10 * (1 + excess));
    CHECK(chosen(record) == given());
    CHECK(choose(record)->is_default);
  }
  CellRecord record = cell();
  add(record, kFirst, 10);
  add(record, given(), 10.21);
  CHECK(chosen(record) == kFirst);
}

TEST_CASE("what noise may account for does not count, up to a limit") {
  CellRecord noisy = cell();
  add_noisy(noisy, kFirst, 10, 0.03, 12);
  add_noisy(noisy, given(), 10.22, 0.03, 12);
  CHECK(chosen(noisy) == given());
  CellRecord clear = cell();
  add_noisy(clear, kFirst, 10, 0.001, 12);
  add_noisy(clear, given(), 10.22, 0.001, 12);
  CHECK(chosen(clear) == kFirst);
  CellRecord far = cell();
  add_noisy(far, kFirst, 10, 0.06, 12);
  add_noisy(far, given(), 10.3, 0.06, 12);
  CHECK(chosen(far) == kFirst);
}

TEST_CASE("an incumbent stays unless another is faster by 3%, and comes before the default") {
  const LaunchConfig simplest{128, 16, Pairing::registers, 1};
  for (const double excess : {0.0, 0.019, 0.029}) {
    CellRecord record = cell();
    record.incumbent = kFirst;
    add(record, given(), 10);
    add(record, simplest, 10);
    add(record, kFirst, 10 * (1 + excess));
    CHECK(chosen(record) == kFirst);
    CHECK(choose(record)->is_incumbent);
    CHECK_FALSE(choose(record)->is_default);
  }
  CellRecord record = cell();
  record.incumbent = kSecond;
  add(record, simplest, 10);
  add(record, kSecond, 10.31);
  CHECK(chosen(record) == simplest);
  CHECK_FALSE(choose(record)->is_incumbent);
  LaunchConfig same_kernel = kSecond;
  same_kernel.block_threads = 512;
  add(record, same_kernel, 10.1);
  CHECK(chosen(record) == same_kernel);
  add(record, given(), 10.1);
  CHECK(chosen(record) == given());
}

TEST_CASE("whether an incumbent stays is undecided around 3%") {
  for (const auto& [us, open] : {std::pair{10.2, false}, std::pair{10.3, true}}) {
    CellRecord record = cell();
    record.incumbent = kFirst;
    add_noisy(record, kSecond, 10, 0.003, 12);
    add_noisy(record, kFirst, us, 0.003, 12);
    // Where it stays it is the choice, and nothing comes before it.
    CHECK(chosen(record) == (open ? kSecond : kFirst));
    CHECK(undecided(record).empty() == !open);
  }
}

TEST_CASE("next comes what shares the default's kernel, then the simplest") {
  const LaunchConfig simplest{128, 16, Pairing::registers, 1};
  LaunchConfig same_kernel = given();
  same_kernel.block_threads = 512;
  CellRecord record = cell();
  add(record, given(), 12);
  add(record, kSecond, 10);
  add(record, kFirst, 10.02);
  add(record, simplest, 10.03);
  CHECK(chosen(record) == simplest);
  add(record, same_kernel, 10.1);
  CHECK(chosen(record) == same_kernel);
}

TEST_CASE("a choice says what it was made among") {
  CellRecord record = cell();
  add(record, given(), 12);
  add(record, kSecond, 10);
  add(record, kFirst, 10.02);
  const Choice choice = *choose(record);
  CHECK(choice.config == kFirst);
  CHECK_FALSE(choice.is_default);
  CHECK(choice.us == doctest::Approx(choice.best_us * 1.002));
  CHECK(choice.default_us == doctest::Approx(choice.best_us * 1.2));
}

TEST_CASE("without times there is no choice") {
  CHECK_FALSE(choose(cell()).has_value());
  CellRecord record = cell();
  add(record, kFirst, 10, 0);
  CHECK_FALSE(choose(record).has_value());
  CHECK(undecided(record).empty());
}

TEST_CASE("a clear choice leaves nothing undecided") {
  CellRecord record = cell();
  add(record, given(), 12);
  add(record, kSecond, 10);
  add(record, kFirst, 10.02);
  CHECK(undecided(record).empty());
}

TEST_CASE("undecided are those that noise may have kept from being chosen, and the fastest") {
  CellRecord record = cell();
  add_noisy(record, kSecond, 10, 0.001, 12);
  add_noisy(record, given(), 10.5, 0.001, 12);
  add_noisy(record, kFirst, 10.21, 0.02, 12);
  const std::vector<LaunchConfig> open = undecided(record);
  CHECK(open == std::vector<LaunchConfig>{kFirst, kSecond});
  // Once something better is as fast, nobody asks whether this one is.
  add_noisy(record, {128, 16, Pairing::registers, 1}, 10.01, 0.0001, 12);
  CHECK(undecided(record).empty());
}

}  // namespace ropejit
