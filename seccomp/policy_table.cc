#include "seccomp/policy_table.h"

#include <string.h>

#include <set>
#include <string_view>

#include "seccomp/gofer_policy.h"
#include "seccomp/plugin_policy.h"
#include "seccomp/runtime_rules.h"

namespace lisafs {
namespace {

constexpr std::string_view kIntroduction = R"(# System calls

Made from the policies in `seccomp/` by `bazel run //seccomp:policy_table > docs/system-calls.md`; a test compares.

A call that is not listed, or whose arguments are none of those listed for it, kills the process, and so does a call by another
architecture's numbers. Arguments are counted from 0. "Answered" means that the call is not made and its caller gets that error.
)";

// In a Markdown table a bar ends the cell.
std::string Cell(std::string_view text) {
  std::string cell;
  for (char c : text) {
    if (c == '|') cell += '\\';
    cell += c;
  }
  return " " + cell + " |";
}

std::string Arguments(const SeccompPolicy::Rule& rule) {
  std::string text;
  for (const ArgCondition& condition : rule.conditions) {
    if (!text.empty()) text += "; ";
    text += std::to_string(condition.arg) + ": " + condition.text;
  }
  return text;
}

std::string Row(const SeccompPolicy::Rule& rule) {
  std::string answer = rule.error == 0 ? "" : std::string(", answered ") + strerrorname_np(rule.error);
  return "|" + Cell(SyscallName(rule.syscall) + answer) + Cell(Arguments(rule)) + Cell(rule.why);
}

// Without those in `except`.
std::set<std::string> Rows(const SeccompPolicy& policy, const std::set<std::string>& except = {}) {
  std::set<std::string> rows;
  for (const SeccompPolicy::Rule& rule : policy.rules()) {
    std::string row = Row(rule);
    if (!except.contains(row)) rows.insert(std::move(row));
  }
  return rows;
}

// Which mounts make a gofer need the row.
std::string WithMounts(const std::string& row, const std::set<std::string>& writable,
                       const std::set<std::string>& read_only) {
  return row + Cell(!read_only.contains(row)  ? "one is writable"
                    : !writable.contains(row) ? "all are read-only"
                                              : "any");
}

}  // namespace

std::string PolicyTables() {
  SeccompPolicy common;
  AllowRuntime(common);
  AllowTransport(common);
  const std::set<std::string> shared = Rows(common);
  const std::set<std::string> writable = Rows(GoferPolicy({.proc_self_fd = 3, .read_only = false}), shared);
  const std::set<std::string> read_only = Rows(GoferPolicy({.proc_self_fd = 3, .read_only = true}), shared);

  std::string text(kIntroduction);
  text += "\n## lisafs-gofer and lisafs-plugin\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : shared) text += row + "\n";

  text += "\n## lisafs-gofer\n\n| call | arguments | for | mounts |\n|---|---|---|---|\n";
  std::set<std::string> gofer = writable;
  gofer.insert(read_only.begin(), read_only.end());
  for (const std::string& row : gofer) text += WithMounts(row, writable, read_only) + "\n";

  text += "\n## lisafs-plugin\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : Rows(PluginPolicy(), shared)) text += row + "\n";
  return text;
}

}  // namespace lisafs
