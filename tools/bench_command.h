#ifndef ROPEJIT_TOOLS_BENCH_COMMAND_H_
#define ROPEJIT_TOOLS_BENCH_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `bench`, as add_prewarm_command() does its own.
void add_bench_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_BENCH_COMMAND_H_
