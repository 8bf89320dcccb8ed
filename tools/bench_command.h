#ifndef ROPEJIT_TOOLS_BENCH_COMMAND_H_
#define ROPEJIT_TOOLS_BENCH_COMMAND_H_

#include "tools/exit_code.h"

namespace CLI {
class App;
}

namespace ropejit {

/// Adds the verb `bench`, as add_prewarm_command() does its own.
void add_bench_command(CLI::App& app, ExitCode& result);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCH_COMMAND_H_
