#ifndef ROPEJIT_TOOLS_VERIFY_COMMAND_H_
#define ROPEJIT_TOOLS_VERIFY_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `verify`, as add_prewarm_command() does its own.
void add_verify_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERIFY_COMMAND_H_
