#ifndef ROPEJIT_CACHE_ENTRY_H_
#define ROPEJIT_CACHE_ENTRY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cache/key.h"

namespace ropejit {

using Bytes = std::vector<std::byte>;

/// The version of the file format. Any change to the bytes that encode() writes raises it.
inline constexpr std::uint64_t kEntrySchema = 1;

/// One cached cubin and what is known about it. cache/README.md specifies the file format.
struct Entry {
  Key key;
  std::string kernel;    ///< what was built, for people: describe(spec) and the launch config
  std::string arch;      ///< `sm_90`
  std::string compiler;  ///< `NVRTC 13.0`
  Bytes cubin;
};

/// The entry as the bytes of its file: the cubin, then the footer.
Bytes encode(const Entry& entry);

/// Why a file is not a valid entry, in words: `truncated: ...`, `digest mismatch`, `other key: ...`
struct Damage {
  std::string reason;
};

/// The entry that `file` holds, or why it is none. Every byte of the file is covered by the digest
/// or is a part of it; `expected` guards against a valid entry under another entry's name. Never
/// throws for any content (std::bad_alloc apart); reads no byte out of bounds.
std::variant<Entry, Damage> decode(std::span<const std::byte> file, const Key& expected);

}  // namespace ropejit

#endif  // ROPEJIT_CACHE_ENTRY_H_
