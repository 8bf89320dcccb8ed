#ifndef ROPEJIT_TOOLS_DOCTOR_COMMAND_H_
#define ROPEJIT_TOOLS_DOCTOR_COMMAND_H_

namespace ropejit {

class Verb;

/// Adds the verb `doctor`, as add_prewarm_command() does its own.
void add_doctor_command(Verb tool);

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_DOCTOR_COMMAND_H_
