#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace ropejit {
namespace {

/// Returns to the line's start and erases it.
constexpr std::string_view kErase = "\r\033[K";

/// To stderr, in one write. What stderr does not take is lost.
void write(const std::string& text) { std::fputs(text.c_str(), stderr); }

std::string_view name(PrewarmResult::Status status) {
  switch (status) {
    case PrewarmResult::Status::compiled:
      return "compiled";
    case PrewarmResult::Status::cached:
      return "cached";
    case PrewarmResult::Status::failed:
      break;
  }
  return "failed";
}

/// Columns of the terminal; 80 if it does not say.
std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string bar_text(std::size_t done, std::size_t total, std::string_view latest) {
  constexpr std::size_t kWidth = 30;
  const std::size_t filled = kWidth * done / total;
  std::string text = fmt::format("[{:=<{}}{:<{}}] {}/{}  {}", "", filled, "", kWidth - filled, done,
                                 total, latest);
  // A line that fills the last column would wrap, and its first row would stay.
  const std::size_t columns = terminal_columns();
  if (text.size() >= columns) text.resize(columns - 1);
  return text;
}

std::string line_text(std::size_t done, std::size_t total, std::string_view text) {
  return fmt::format("[{:>{}}/{}] {}\n", done, fmt::formatted_size("{}", total), total, text);
}

}  // namespace

Progress::Style Progress::style_here() {
  const char* terminal = std::getenv("TERM");
  const bool redraws = terminal != nullptr && std::string_view(terminal) != "dumb";
  return redraws && ::isatty(STDERR_FILENO) == 1 ? Style::bar : Style::lines;
}

Progress::~Progress() { clear(); }

void Progress::clear() {
  const std::lock_guard lock(mutex_);
  if (!bar_.empty()) write(std::string(kErase));
  bar_.clear();
}

void Progress::draw(std::string bar) {
  bar_ = std::move(bar);
  write(fmt::format("{}{}", kErase, bar_));
}

void Progress::write_above_bar(const std::string& line) {
  if (bar_.empty()) {
    write(fmt::format("ropejit: {}\n", line));
  } else {
    write(fmt::format("{}ropejit: {}\n{}", kErase, line, bar_));
  }
}

void Progress::step(std::size_t done, std::size_t total, const PrewarmResult& latest) {
  const std::lock_guard lock(mutex_);
  if (latest.status == PrewarmResult::Status::failed) {
    write_above_bar(
        fmt::format("failed: {} for {}: {}", latest.kernel, latest.arch, latest.message));
  }
  show(done, total, fmt::format("{}  {}", latest.arch, latest.kernel),
       fmt::format("{:<8}  {:<6}  {}  {:.1f} ms", name(latest.status), latest.arch, latest.kernel,
                   latest.milliseconds));
}

void Progress::step(std::size_t done, std::size_t total, std::string_view latest,
                    std::string_view outcome) {
  const std::lock_guard lock(mutex_);
  show(done, total, latest, fmt::format("{}  {}", latest, outcome));
}

void Progress::show(std::size_t done, std::size_t total, std::string_view latest,
                    std::string_view line) {
  if (style_ == Style::bar) {
    draw(bar_text(done, total, latest));
  } else {
    fmt::print("{}", line_text(done, total, line));
  }
}

void Progress::note(std::string_view line) {
  const std::lock_guard lock(mutex_);
  write_above_bar(std::string(line));
}

}  // namespace ropejit
