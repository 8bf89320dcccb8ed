#ifndef ROPEJIT_TOOLS_PREWARM_COMMAND_H_
#define ROPEJIT_TOOLS_PREWARM_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `prewarm` to the tool. The other verbs' functions do likewise.
void add_prewarm_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_PREWARM_COMMAND_H_
