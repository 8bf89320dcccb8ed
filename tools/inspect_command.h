#ifndef ROPEJIT_TOOLS_INSPECT_COMMAND_H_
#define ROPEJIT_TOOLS_INSPECT_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `inspect`, as add_prewarm_command() does its own.
void add_inspect_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_INSPECT_COMMAND_H_
