#ifndef ROPEJIT_TOOLS_TUNE_COMMAND_H_
#define ROPEJIT_TOOLS_TUNE_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `tune`, as add_prewarm_command() does its own.
void add_tune_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_TUNE_COMMAND_H_
