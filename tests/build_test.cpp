#include "src/build.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "src/source.h"
#include "tests/runtime_fixture.h"

namespace ropejit {
namespace {

/// A Builder on a folder of its own, and what came of it.
struct BuilderFixture {
  TemporaryFolder temporary;
  std::filesystem::path folder = temporary / "cache";
  LogLines log;
  Counters counters;
  Builder builder{{folder.string(), true, "", log.callback()}, counters};
  BuildRequest request = requests_for(small_spec()).front();
  Key key = Builder::key_of(request);
};

bool is_elf(const Bytes& bytes) {
  return bytes.size() > 1000 && Bytes(bytes.begin(), bytes.begin() + 4) == bytes_of(
                                                                               "\x7f"
                                                                               "ELF");
}

}  // namespace

TEST_CASE("making a Builder touches neither the folder nor NVRTC") {
  BuilderFixture f;
  CHECK(!std::filesystem::exists(f.folder));
  CHECK(!f.builder.compiler_opened());
}

TEST_CASE("a request is described by its spec and by what its config decides about the kernel") {
  BuildRequest request{small_spec(), {256, 16, Pairing::exchange, 2, true}, "sm_90", Body::copy};
  request.kernel_spec.alignment = 8;
  CHECK(describe(request) ==
        "d64 r64 bfloat16 sequential q2 kv1 offset exact forward a8, 8 bytes, exchange, 2 heads, "
        "streaming, copy");
  const std::string text = describe(request);
  request.config.block_threads = 64;
  CHECK(describe(request) == text);
}

TEST_CASE("a request that was prepared is built under the key of the request") {
  BuilderFixture f;
  put_entries(f.folder, small_spec(), loadable());
  const PreparedBuild prepared(f.request);
  CHECK(prepared.key == f.key);
  CHECK(prepared.source == render(f.request.kernel_spec, f.request.config).text);
  CHECK(f.builder.build(prepared, Reuse::any_version).cubin == loadable());
}

TEST_CASE("the first build compiles and publishes, the second takes the entry" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  const BuiltCubin first = f.builder.build(f.request, Reuse::any_version);
  CHECK(first.compiled);
  CHECK(first.key == f.key);
  CHECK(is_elf(first.cubin));
  const CubinCache::Lookup entry = CubinCache(f.folder).get(f.key);
  REQUIRE(entry.entry.has_value());
  CHECK(entry.entry->cubin == first.cubin);
  CHECK(entry.entry->arch == "sm_90");
  CHECK(entry.entry->compiler == f.builder.compiler().version());
  CHECK(entry.entry->kernel == describe(f.request));

  const BuiltCubin second = f.builder.build(f.request, Reuse::any_version);
  CHECK(!second.compiled);
  CHECK(second.cubin == first.cubin);
  CHECK(f.counters.compiles == 1);
  CHECK(f.counters.misses == 1);
  CHECK(f.counters.disk_hits == 1);
  CHECK(f.log.lines().empty());
}

TEST_CASE("the same request compiles to the same bytes" * doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  const Bytes first = f.builder.build(f.request, Reuse::nothing).cubin;
  CHECK(f.builder.build(f.request, Reuse::nothing).cubin == first);
  CHECK(f.counters.compiles == 2);
}

TEST_CASE("an entry of any compiler serves, without NVRTC") {
  BuilderFixture f;
  put_entries(f.folder, small_spec(), loadable(), "NVRTC 1.0");
  const BuiltCubin built = f.builder.build(f.request, Reuse::any_version);
  CHECK(!built.compiled);
  CHECK(built.cubin == loadable());
  CHECK(!f.builder.compiler_opened());
}

TEST_CASE("an entry of another compiler is rebuilt where this one's is asked for" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  put_entries(f.folder, small_spec(), loadable(), "NVRTC 1.0");
  CHECK(f.builder.build(f.request, Reuse::this_version).compiled);
  CHECK(CubinCache(f.folder).get(f.key).entry->compiler == f.builder.compiler().version());
  CHECK(!f.builder.build(f.request, Reuse::this_version).compiled);
  CHECK(f.counters.misses == 1);
  CHECK(f.counters.disk_hits == 1);
}

TEST_CASE("a damaged, a truncated and a foreign entry are rebuilt, counted and logged" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  const Bytes cubin = f.builder.build(f.request, Reuse::any_version).cubin;
  const std::filesystem::path path = entry_path(f.folder, f.request);
  const std::string key = f.key.hex();
  SUBCASE("a byte flipped") {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(100);
    const int byte = file.get();
    file.seekp(100);
    file.put(static_cast<char>(byte ^ 1));
  }
  SUBCASE("truncated") { std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1); }
  SUBCASE("empty") { std::filesystem::resize_file(path, 0); }
  SUBCASE("another kernel's entry under this name") {
    const BuildRequest other = requests_for(small_spec()).back();
    f.builder.build(other, Reuse::any_version);
    std::filesystem::copy_file(entry_path(f.folder, other), path,
                               std::filesystem::copy_options::overwrite_existing);
  }
  const std::uint64_t compiles = f.counters.compiles;
  CHECK(f.builder.build(f.request, Reuse::any_version).cubin == cubin);
  CHECK(f.counters.damaged == 1);
  CHECK(f.counters.compiles == compiles + 1);
  REQUIRE(f.log.lines().size() == 1);
  CHECK(f.log.lines()[0].starts_with("cache entry " + key + ": "));
  CHECK(f.log.lines()[0].ends_with("; rebuilding it"));

  CHECK(!f.builder.build(f.request, Reuse::any_version).compiled);  // healed
  CHECK(f.counters.damaged == 1);
}

TEST_CASE("with compiling switched off, a missing entry is named with key, folder and remedy") {
  BuilderFixture f;
  Builder builder({f.folder.string(), false, "", {}}, f.counters);
  const std::string error = refusal([&] { builder.build(f.request, Reuse::any_version); });
  CHECK(error == "not_cached: kernel " + describe(f.request) + " for sm_90 is not in the cache (" +
                     f.folder.string() + ", key " + f.key.hex() +
                     ") and compiling is switched off; `ropejit prewarm` builds it");
  Builder without_folder({"", false, "", {}}, f.counters);
  CHECK(contains(refusal([&] { without_folder.build(f.request, Reuse::any_version); }),
                 "(no folder, key " + f.key.hex() + ")"));
  CHECK(
      refusal([&] { builder.compiler(); }).starts_with("invalid_argument: allow_compile = false"));
  CHECK(!builder.compiler_opened());
}

TEST_CASE("without NVRTC, a missing entry is an error that lists what was tried") {
  BuilderFixture f;
  Builder builder({f.folder.string(), true, "/no/such/libnvrtc.so.13", {}}, f.counters);
  const std::string error = refusal([&] { builder.build(f.request, Reuse::any_version); });
  CHECK(error.starts_with("compile_failed: "));
  CHECK(contains(error, "/no/such/libnvrtc.so.13"));
  CHECK(!builder.compiler_opened());
  put_entries(f.folder, small_spec(), loadable());
  CHECK(!builder.build(f.request, Reuse::any_version).compiled);
}

TEST_CASE("an architecture that NVRTC does not know is refused with the ones that it does" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  f.request.arch = "sm_70";
  const std::string error = refusal([&] { f.builder.build(f.request, Reuse::any_version); });
  CHECK(error.starts_with("invalid_argument: arch: 'sm_70'"));
  CHECK(contains(error, "sm_75"));
}

TEST_CASE("a folder that cannot be used is left alone, with one line of log" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  const std::string blocked = f.temporary.write("file", "no folder") + "/cache";
  Builder builder({blocked, true, "", f.log.callback()}, f.counters);
  CHECK(builder.build(f.request, Reuse::any_version).compiled);
  CHECK(builder.build(requests_for(small_spec()).back(), Reuse::any_version).compiled);
  CHECK(f.counters.write_failures == 2);
  CHECK(f.counters.misses == 2);
  REQUIRE(f.log.lines().size() == 1);
  CHECK(f.log.lines()[0].starts_with("cache folder " + blocked + ": cannot create "));
  CHECK(f.log.lines()[0].ends_with("; going on without it (said once)"));
}

TEST_CASE("an entry that cannot be read is a miss, with one line of log" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  std::filesystem::create_directories(f.folder);
  const std::filesystem::path path = entry_path(f.folder, f.request);
  std::filesystem::create_symlink(path.filename(), path);  // a link to itself
  CHECK(f.builder.build(f.request, Reuse::any_version).compiled);
  CHECK(f.counters.misses == 1);
  CHECK(f.counters.damaged == 0);
  REQUIRE(f.log.lines().size() == 1);
  CHECK(contains(f.log.lines()[0], "cannot open " + path.string()));
  CHECK(!f.builder.build(f.request, Reuse::any_version).compiled);  // replaced by the rename
}

TEST_CASE("without a folder every build compiles, and nothing is counted as a miss" *
          doctest::skip(no_nvrtc())) {
  BuilderFixture f;
  Builder builder({"", true, "", f.log.callback()}, f.counters);
  CHECK(builder.cache() == nullptr);
  CHECK(builder.build(f.request, Reuse::any_version).compiled);
  CHECK(f.counters.misses == 0);
  CHECK(f.counters.write_failures == 0);
  CHECK(f.log.lines().empty());
}

}  // namespace ropejit
