#ifndef ROPEJIT_TOOLS_TUNE_COMMAND_H_
#define ROPEJIT_TOOLS_TUNE_COMMAND_H_

#include "tools/exit_code.h"

namespace CLI {
class App;
}

namespace ropejit {

/// Adds the verb `tune`, as add_prewarm_command() does its own.
void add_tune_command(CLI::App& app, ExitCode& result);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_COMMAND_H_
