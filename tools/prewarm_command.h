#ifndef ROPEJIT_TOOLS_PREWARM_COMMAND_H_
#define ROPEJIT_TOOLS_PREWARM_COMMAND_H_

#include "tools/exit_code.h"

namespace CLI {
class App;
}

namespace ropejit {

/// Adds the verb `prewarm`. When the command line names it, parsing carries it out and sets
/// `result`, or throws Failure or Error. The other verbs' functions do likewise.
void add_prewarm_command(CLI::App& app, ExitCode& result);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_PREWARM_COMMAND_H_
