#ifndef ROPEJIT_TOOLS_RENDER_COMMAND_H_
#define ROPEJIT_TOOLS_RENDER_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `render`, as add_prewarm_command() does its own.
void add_render_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_RENDER_COMMAND_H_
