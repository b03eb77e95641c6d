#include "sandbox/runtime_arguments.h"

#include <algorithm>
#include <array>
#include <optional>

namespace lisafs {
namespace {

// Global flags of runc, crun and youki that take a value, which may be an argument of its own.
constexpr auto kGlobalValueFlags =
    std::to_array<std::string_view>({"cgroup-manager", "criu", "l", "log", "log-format", "r", "root", "rootless"});
constexpr auto kGlobalSwitches = std::to_array<std::string_view>(
    {"debug", "h", "help", "s", "systemd-cgroup", "systemd-log", "usage", "v", "V", "version", "?"});

// The same for create and run.
constexpr auto kCreateValueFlags =
    std::to_array<std::string_view>({"b", "bundle", "config", "console-socket", "f", "pid-file", "preserve-fds"});

template <size_t N>
bool Contains(const std::array<std::string_view, N>& flags, std::string_view name) {
  return std::find(flags.begin(), flags.end(), name) != flags.end();
}

struct Flag {
  std::string_view name;                  // Without dashes.
  std::optional<std::string_view> value;  // Of --name=value.
};

// A flag, with one dash or two (runc's parser takes either for any), or nothing if the argument is none.
std::optional<Flag> ReadFlag(std::string_view argument) {
  if (argument.size() < 2 || argument[0] != '-' || argument == "--") return std::nullopt;
  argument.remove_prefix(argument[1] == '-' ? 2 : 1);
  size_t equals = argument.find('=');
  if (equals == std::string_view::npos) return Flag{argument, std::nullopt};
  return Flag{argument.substr(0, equals), argument.substr(equals + 1)};
}

bool StartsOrRemoves(std::string_view command) {
  return command == "create" || command == "run" || command == "restore" || command == "delete";
}

class Parser {
 public:
  explicit Parser(std::span<const char* const> argv) : argv_(argv) {}

  tl::expected<RuntimeArguments, std::string> Parse() {
    if (argv_.empty()) return tl::unexpected<std::string>("no arguments");
    out_.passed.push_back(argv_[0]);
    next_ = 1;
    while (next_ < argv_.size()) {
      std::optional<Flag> flag = ReadFlag(argv_[next_]);
      if (!flag) break;
      if (flag->name == "runtime" || flag->name == "lisafsd") {
        if (auto error = OwnFlag(*flag)) return tl::unexpected(*error);
      } else {
        GlobalFlag(*flag);
      }
    }
    out_.globals = out_.passed.size();
    if (next_ < argv_.size()) out_.command = argv_[next_];
    // An unknown flag may have taken the argument behind it, which then is not the command. That must not let a
    // container start, or end, without our knowing.
    if (!unknown_flag_.empty() && !StartsOrRemoves(out_.command) &&
        std::any_of(argv_.begin() + next_, argv_.end(), StartsOrRemoves)) {
      return tl::unexpected("flag " + unknown_flag_ + " is not known: write its value as " + unknown_flag_ + "=VALUE");
    }
    out_.passed.insert(out_.passed.end(), argv_.begin() + next_, argv_.end());
    if (out_.command == "create" || out_.command == "run") {
      CommandArguments(kCreateValueFlags);
    } else if (out_.command == "start" || out_.command == "delete") {
      CommandArguments(std::array<std::string_view, 0>());
    }
    return std::move(out_);
  }

 private:
  // Takes the argument at hand, which stays out of `passed`. Gives an error or nothing.
  std::optional<std::string> OwnFlag(const Flag& flag) {
    std::string name = argv_[next_++];
    std::string_view value;
    if (flag.value) {
      value = *flag.value;
    } else if (next_ < argv_.size()) {
      value = argv_[next_++];
    }
    if (value.empty()) return "flag " + name + " needs a value";
    (flag.name == "runtime" ? out_.runtime : out_.socket) = value;
    return std::nullopt;
  }

  void GlobalFlag(const Flag& flag) {
    out_.passed.push_back(argv_[next_++]);
    std::string_view value = flag.value.value_or("");
    if (!flag.value && Contains(kGlobalValueFlags, flag.name) && next_ < argv_.size()) {
      value = argv_[next_];
      out_.passed.push_back(argv_[next_++]);
    }
    if (flag.name == "log" || flag.name == "l") {
      out_.log = value;
    } else if (flag.name == "log-format") {
      out_.log_format = value;
    } else if (flag.name == "help" || flag.name == "h" || flag.name == "?") {
      out_.help = true;
    } else if (flag.name == "version" || flag.name == "v" || flag.name == "V") {
      out_.version = true;
    } else if (!flag.value && !Contains(kGlobalValueFlags, flag.name) && !Contains(kGlobalSwitches, flag.name)) {
      unknown_flag_ = out_.passed.back();
    }
  }

  template <size_t N>
  void CommandArguments(const std::array<std::string_view, N>& value_flags) {
    bool flags_ended = false;
    for (++next_; next_ < argv_.size(); ++next_) {
      std::string_view argument = argv_[next_];
      std::optional<Flag> flag = flags_ended ? std::nullopt : ReadFlag(argument);
      if (!flag) {
        // The last one: an unknown flag's value may have come before it.
        if (!flags_ended && argument == "--") {
          flags_ended = true;
        } else {
          out_.id = argument;
        }
        continue;
      }
      if (flag->name == "help" || flag->name == "h" || flag->name == "?" || flag->name == "usage") {
        out_.id.clear();
        return;
      }
      // crun also takes a short flag with its value attached: -bDIR.
      if (argument[1] != '-' && !flag->value && flag->name.size() > 1 && !Contains(value_flags, flag->name) &&
          Contains(value_flags, flag->name.substr(0, 1))) {
        flag = Flag{flag->name.substr(0, 1), flag->name.substr(1)};
      }
      if (!Contains(value_flags, flag->name)) continue;
      if (!flag->value) {
        if (next_ + 1 == argv_.size()) return;
        flag->value = argv_[++next_];
      }
      if (flag->name == "b" || flag->name == "bundle") out_.bundle = *flag->value;
      if (flag->name == "f" || flag->name == "config") out_.config_file = *flag->value;
    }
  }

  std::span<const char* const> argv_;
  size_t next_ = 0;
  std::string unknown_flag_;
  RuntimeArguments out_;
};

}  // namespace

tl::expected<RuntimeArguments, std::string> ParseRuntimeArguments(std::span<const char* const> argv) {
  return Parser(argv).Parse();
}

}  // namespace lisafs
