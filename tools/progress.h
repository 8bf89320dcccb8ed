#ifndef ROPEJIT_TOOLS_PROGRESS_H_
#define ROPEJIT_TOOLS_PROGRESS_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>

#include "ropejit/runtime.h"

namespace ropejit {

/// Shows how far a pre-warming or a tuning is: where stderr is a terminal, one line of it that is
/// redrawn; else a line per kernel or cell on stdout. Failed kernels and notes go to stderr, in
/// whole lines, either way. Thread-safe.
class Progress {
 public:
  enum class Style { bar, lines };
  /// A bar where stderr is a terminal that can redraw a line ($TERM is neither unset nor `dumb`).
  static Style style_here();

  explicit Progress(Style style) : style_(style) {}
  ~Progress();  ///< removes the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` kernels are finished, this one being the latest.
  void step(std::size_t done, std::size_t total, const PrewarmResult& latest);
  /// `done` of `total` steps are finished, the latest being `latest`: in the bar, or as a line with
  /// `outcome`.
  void step(std::size_t done, std::size_t total, std::string_view latest, std::string_view outcome);
  void note(std::string_view line);
  void clear();  ///< removes the bar

 private:
  void write_above_bar(const std::string& line);
  void draw(std::string bar);
  void show(std::size_t done, std::size_t total, std::string_view latest, std::string_view line);

  const Style style_;
  std::mutex mutex_;
  std::string bar_;  ///< as it stands on the terminal; empty: none
};

}  // namespace ropejit

#endif  // ROPEJIT_TOOLS_PROGRESS_H_
