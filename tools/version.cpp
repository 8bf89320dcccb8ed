#include "tools/version.h"

namespace ropejit {

std::string_view version() noexcept { return ROPEJIT_VERSION; }
std::string_view commit() noexcept { return ROPEJIT_COMMIT; }

}  // namespace ropejit
