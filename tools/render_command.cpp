#include "tools/render_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "ropejit/config.h"
#include "src/source.h"
#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/runtime_options.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFooter =
    "Of a spec the two kernels of the built-in rule for many tokens are written: for calls with "
    "its\n"
    "alignment, and for all others. Without --out the first kernel of the selection is printed, "
    "and\n"
    "stderr says how many there are.\n"
    "Every source compiles by itself: nvcc -cubin -arch=sm_90 FILE.cu\n\n"
    "Examples:\n"
    "  ropejit render --model Llama-3-8B/config.json --variants positions=token_ids > rope.cu\n"
    "  ropejit render --model Llama-3-8B/config.json --out kernels\n\n";

struct RenderOptions {
  InputOptions inputs;
  std::optional<std::string> out;
};

/// Every kernel of the inputs, once, in the order of first mention.
std::vector<RopeSpec> kernels_of(const std::vector<Input>& inputs) {
  std::vector<RopeSpec> kernels;
  for (const Input& input : inputs) {
    for (const RopeSpec& kernel : kernel_specs(input.spec)) {
      if (std::find(kernels.begin(), kernels.end(), kernel) == kernels.end()) {
        kernels.push_back(kernel);
      }
    }
  }
  return kernels;
}

/// `rope_d128_r128_bfloat16_..._a16.cu`. Different kernels have different descriptions.
std::string file_name(const RopeSpec& kernel) {
  std::string name = fmt::format("rope {}.cu", describe(kernel));
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

void write_file(const fs::path& path, const std::string& text) {
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return;
  throw Failure(ExitCode::environment, fmt::format("--out: cannot write {}: {}", path.string(),
                                                   std::generic_category().message(errno)));
}

void write_all(const std::vector<RopeSpec>& kernels, const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw Failure(ExitCode::environment, fmt::format("--out: cannot create folder {}: {}",
                                                     folder.string(), error.message()));
  }
  for (const RopeSpec& kernel : kernels) {
    const fs::path path = folder / file_name(kernel);
    write_file(path, render(kernel, LaunchConfig{}).text);
    fmt::print("{}\n", path.string());
  }
}

ExitCode render_inputs(const RenderOptions& options) {
  const std::vector<RopeSpec> kernels = kernels_of(load_inputs(options.inputs));
  if (options.out) {
    if (options.out->empty()) throw Failure(ExitCode::usage, "--out = \"\": must name a folder");
    write_all(kernels, *options.out);
    return ExitCode::ok;
  }
  if (kernels.size() > 1) {
    print_note(fmt::format("printing the first of {} kernels, {}; --out writes them all",
                           kernels.size(), describe(kernels.front())));
  }
  fmt::print("{}", render(kernels.front(), LaunchConfig{}).text);
  return ExitCode::ok;
}

}  // namespace

void add_render_command(Verb tool) {
  const auto options = std::make_shared<RenderOptions>();
  Verb verb = tool.add_verb("render", "Print or write the generated CUDA source");
  add_input_options(verb, options->inputs);
  verb.add_option("-o,--out", options->out, "DIR",
                  "Write one .cu file per kernel into this folder");
  verb.footer(kFooter);
  verb.on_named([options] { return render_inputs(*options); });
}

}  // namespace ropejit
