#ifndef ROPEJIT_TOOLS_EXPLAIN_COMMAND_H_
#define ROPEJIT_TOOLS_EXPLAIN_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `explain`, as add_prewarm_command() does its own.
void add_explain_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_EXPLAIN_COMMAND_H_
