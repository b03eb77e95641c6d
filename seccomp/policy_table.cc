#include "seccomp/policy_table.h"

#include <string.h>

#include <set>
#include <string_view>

#include "seccomp/broker_policy.h"
#include "seccomp/gofer_policy.h"
#include "seccomp/plugin_policy.h"
#include "seccomp/runtime_rules.h"
#include "seccomp/trusted_deny_list.h"
#include "seccomp/waker_policy.h"

namespace lisafs {
namespace {

constexpr std::string_view kIntroduction = R"(# System calls

Made from the policies in `seccomp/` by `bazel run //seccomp:policy_table > docs/system-calls.md`; a test compares.

For all programs but lisafsd and lisafs-runtime's hook, the last ones here: a call that is not listed, or whose arguments are none of those listed for it, kills the process, and so does a call by another
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

std::set<std::string> Rows(const SeccompDenyList& list) {
  std::set<std::string> rows;
  for (const SeccompDenyList::Rule& rule : list.rules()) {
    std::string arguments;
    for (const DenyCondition& condition : rule.conditions) {
      if (!arguments.empty()) arguments += "; ";
      arguments += std::to_string(condition.comparison.arg) + ": " + condition.text;
    }
    std::string row = "|" + Cell(SyscallName(rule.syscall)) + Cell(arguments) + Cell(rule.why);
    rows.insert(std::move(row));
  }
  return rows;
}

// The gofer's rows, each with the mounts that make a gofer need it.
std::set<std::string> GoferRows(const std::set<std::string>& shared) {
  auto rows = [&](GoferPolicyOptions options) {
    options.proc_self_fd = 3;
    options.ready_fd = 4;
    return Rows(GoferPolicy(options), shared);
  };
  const std::set<std::string> writable = rows({.read_only = false});
  const std::set<std::string> read_only = rows({.read_only = true});
  const std::set<std::string> open_sockets = rows({.open_sockets = true});
  const std::set<std::string> create_sockets = rows({.create_sockets = true});
  const std::set<std::string> watched = rows({.watch_fd = 5});
  std::set<std::string> all;
  for (const auto* some : {&writable, &read_only, &open_sockets, &create_sockets, &watched}) {
    for (const std::string& row : *some) {
      std::string_view mounts = "any";
      if (watched.contains(row) && !writable.contains(row)) {
        mounts = "one has watch";
      } else if (!open_sockets.contains(row)) {
        mounts = read_only.contains(row) ? "all are read-only" : "one has uds-create";
      } else if (!create_sockets.contains(row)) {
        mounts = "one has uds-open";
      } else if (!writable.contains(row)) {
        mounts = "one has uds-open or uds-create";
      } else if (!read_only.contains(row)) {
        mounts = "one is writable";
      }
      all.insert(row + Cell(mounts));
    }
  }
  return all;
}

}  // namespace

std::string PolicyTables() {
  SeccompPolicy common;
  AllowRuntime(common);
  AllowTransport(common);
  const std::set<std::string> shared = Rows(common);

  std::string text(kIntroduction);
  text += "\n## lisafs-gofer and lisafs-plugin\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : shared) text += row + "\n";

  text += "\n## lisafs-gofer\n\n| call | arguments | for | mounts |\n|---|---|---|---|\n";
  for (const std::string& row : GoferRows(shared)) text += row + "\n";

  text += "\n## lisafs-plugin\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : Rows(PluginPolicy(/*io_uring=*/true), shared)) text += row + "\n";

  text += "\n## lisafs-broker\n\nThese and no others.\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : Rows(BrokerPolicy())) text += row + "\n";

  text += "\n## lisafs-waker\n\nThese and no others.\n\n| call | arguments | for |\n|---|---|---|\n";
  for (const std::string& row : Rows(WakerPolicy({.proc_self_fd = 3, .ready_fd = 4}))) text += row + "\n";

  text += "\n## lisafsd, lisafs-runtime's hook, and all that they start\n\nAll calls but these, which kill.\n\n";
  text += "| call | arguments | what it would be for |\n|---|---|---|\n";
  for (const std::string& row : Rows(TrustedDenyList({}))) text += row + "\n";
  return text;
}

}  // namespace lisafs
