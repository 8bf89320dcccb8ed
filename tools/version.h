#ifndef ROPEJIT_TOOLS_VERSION_H_
#define ROPEJIT_TOOLS_VERSION_H_

#include <string_view>

namespace ropejit {

std::string_view version() noexcept;  ///< `0.1.0`
std::string_view commit() noexcept;   ///< that it was built from; `unknown` outside a checkout

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_VERSION_H_
