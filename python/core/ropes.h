#ifndef ROPEJIT_PYTHON_CORE_ROPES_H_
#define ROPEJIT_PYTHON_CORE_ROPES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/call.h"
#include "core/runtimes.h"

namespace ropejit::python {

/// The handles that were made for one set of rotary parameters, or for tables: one per spec and
/// device. Its state is guarded by the interpreter's lock, which is released while a handle is
/// made.
class Ropes {
 public:
  /// Without parameters: for calls with a table. Throws what make_frequencies() throws.
  Ropes(std::shared_ptr<Runtimes> runtimes, std::optional<RotaryParameters> parameters);

  /// Rotates a call that was checked and is_readable(), by the frequencies for sequences of up to
  /// `length` tokens where they depend on it (0: up to the trained context). On a CUDA device
  /// asynchronously on `stream` (absent: the current one of the arrays' library); on the CPU with
  /// the interpreter's lock released. The first call of a spec may compile. Throws ValueError,
  /// TypeError and ropejit::Error.
  void apply(Call& call, std::int64_t length, std::optional<CUstream_st*> stream);

  /// Calls with one array alone are to take the kernels for both of these, if its heads are as many
  /// as one of the two.
  void expect_heads(int q_heads, int kv_heads);

  /// describe() of each handle.
  std::vector<std::string> specs() const;

 private:
  struct Heads {
    int q, kv;
  };
  struct Made {
    Rope rope;
    std::int64_t length;  ///< that its frequencies are for
  };

  void share_kernels(RopeSpec& spec, Call& call) const;
  Rope find(const RopeSpec& spec, int device, std::int64_t length, CUstream_st* stream);
  Frequencies frequencies(std::int64_t length) const;

  std::shared_ptr<Runtimes> runtimes_;
  std::optional<RotaryParameters> parameters_;
  bool depends_on_length_;
  std::vector<Made> made_;
  std::vector<Heads> heads_;  ///< of calls with both q and k, expected or met
};

}  // namespace ropejit::python

#endif  // ROPEJIT_PYTHON_CORE_ROPES_H_
