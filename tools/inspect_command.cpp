#include "tools/inspect_command.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/inputs.h"
#include "tools/inspect_report.h"
#include "tools/verb.h"

namespace ropejit {
namespace {

constexpr const char* kFooter =
    "Needs no GPU, and compiles nothing. docs/models.md lists models and how they are read.\n\n"
    "Examples:\n"
    "  ropejit inspect --model Llama-3-8B/config.json\n"
    "  ropejit inspect --model Gemma-3-4B --json\n\n";

struct InspectOptions {
  std::vector<std::string> models;
  std::string layout;
  bool json = false;
};

ExitCode inspect(const InspectOptions& options) {
  if (options.models.empty()) {
    throw Failure(ExitCode::usage, "nothing to inspect: name a --model config.json");
  }
  std::vector<ModelReport> reports;
  for (const std::string& path : options.models) {
    reports.push_back(inspect_model(load_named_model(path, options.layout)));
  }
  if (options.json) {
    fmt::print("{}", to_json(reports));
    return ExitCode::ok;
  }
  for (const ModelReport& report : reports) {
    fmt::print("{}{}", &report == &reports.front() ? "" : "\n\n", to_text(report));
  }
  return ExitCode::ok;
}

}  // namespace

void add_inspect_command(Verb tool) {
  const auto options = std::make_shared<InspectOptions>();
  Verb verb = tool.add_verb("inspect", "Print what was understood of a model's config.json");
  verb.add_option("-m,--model", options->models, "FILE",
                  "A model's Hugging Face config.json, or the folder that holds it");
  add_layout_option(verb, options->layout);
  verb.add_flag("--json", options->json, "Print JSON");
  verb.footer(kFooter);
  verb.on_named([options] { return inspect(*options); });
}

}  // namespace ropejit
