#ifndef ROPEJIT_TOOLS_CACHE_COMMAND_H_
#define ROPEJIT_TOOLS_CACHE_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `cache`, as add_prewarm_command() does its own.
void add_cache_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_CACHE_COMMAND_H_
