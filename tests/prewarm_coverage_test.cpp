// What prewarm() builds for an architecture is what rope() takes on any device of it.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "tests/runtime_fixture.h"
#include "tests/tuning_fixture.h"

namespace ropejit {
namespace {

const std::vector<std::string> kArch = {"sm_90"};

/// A file for three classes of devices, whose configs are all different.
TuningFile three_classes(const RopeSpec& spec) {
  RopeSpec near = spec;
  near.q_heads = 3;
  const LaunchConfig a{64, 4, Pairing::registers, 1, true};
  const LaunchConfig b{256, 16, Pairing::exchange, 2, false};
  const LaunchConfig c{512, 8, Pairing::exchange, 1, true};
  const LaunchConfig impossible{100, 16, Pairing::registers, 1, false};
  return file_of({run_on(kBig, {entry(spec, 1, a), entry(spec, 64, b), entry(spec, 8192, c)}),
                  run_on(kSmall, {entry(near, 1, b), entry(spec, 16, impossible)}),
                  run_on(kOther, {entry(spec, 8, {32, 16, Pairing::registers, 4, true})})});
}

void put_device(StubCuda& cuda, const DeviceClass& device_class) {
  cuda.major = device_class.major;
  cuda.minor = device_class.minor;
  cuda.sm_count = device_class.sm_count;
  cuda.l2_bytes = static_cast<int>(device_class.l2_bytes);
}

}  // namespace

TEST_CASE("after prewarm, rope() compiles nothing on a device of any class of the architecture" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  f.options.tuned_file = f.temporary.write("tuned.json", to_json(three_classes(f.spec)));
  RopeSpec table = f.spec, ragged = f.spec;
  table.angles = AngleSource::table;
  ragged.positions = PositionMode::ragged;
  ragged.index_type = IndexType::int64;
  ragged.direction = Direction::inverse;
  const std::vector<RopeSpec> specs = {f.spec, table, ragged};
  Runtime(f.options).prewarm(specs, kArch);

  f.options.allow_compile = false;
  for (const DeviceClass& device_class : {kBig, kSmall, kStubClass, DeviceClass{9, 0, 1, 0}}) {
    CAPTURE(describe(device_class));
    put_device(f.cuda, device_class);
    Runtime runtime(f.options);
    for (const RopeSpec& spec : specs) {
      CHECK(refusal([&] { runtime.rope(spec, frequencies_of(spec)); }) == "accepted");
    }
  }
  put_device(f.cuda, kOther);
  Runtime runtime(f.options);
  CHECK(refusal([&] { f.resolve(runtime); }).starts_with("not_cached: "));
}

TEST_CASE("prewarm builds the kernels of every class of the architecture, and of no other" *
          doctest::skip(no_nvrtc())) {
  RuntimeFixture f;
  f.spec.head_dim = 24;  // of which nothing is shipped
  f.options.tuned_file = f.temporary.write("tuned.json", to_json(three_classes(f.spec)));
  const std::vector<RopeSpec> specs = {f.spec};
  // Those without a file, three for kBig, one of which kSmall has as well.
  const std::size_t untuned = prewarm_requests(f.spec).size();
  CHECK(Runtime(f.options).prewarm(specs, kArch).size() == untuned + 3);
  CHECK(Runtime(f.options).prewarm(specs, std::vector<std::string>{"sm_80"}).size() ==
        prewarm_requests(f.spec, "sm_80").size() + 1);
}

TEST_CASE("a bad tuned file that was named stops prewarm and rope(), and does not stay bad") {
  RuntimeFixture f;
  put_entries(f.folder, f.spec, loadable());
  f.options.tuned_file = f.temporary.write("tuned.json", "{");
  Runtime runtime(f.options);
  const std::string start = "invalid_argument: " + f.options.tuned_file + ": malformed JSON";
  CHECK(refusal([&] { f.resolve(runtime); }).starts_with(start));
  CHECK(refusal([&] { runtime.prewarm({}, {}); }).starts_with(start));
  CHECK(refusal([&] { runtime.explain(f.spec, kBig, 1); }).starts_with(start));
  // A config of the caller's own needs no file, nor does the CPU.
  CHECK(refusal([&] { runtime.rope(f.spec, frequencies_of(f.spec), kCpuDevice); }) == "accepted");
  f.temporary.write("tuned.json", to_json(TuningFile{}));
  CHECK(refusal([&] { f.resolve(runtime); }) == "accepted");
}

}  // namespace ropejit
