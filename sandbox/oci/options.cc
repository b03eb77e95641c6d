#include "sandbox/oci/options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lisafs {
namespace {

using Member = bool OciMountOptions::*;

struct Honoured {
  absl::string_view name;
  Member member;
  bool value;
};

// The forms with an r, which runc knows, mean a mount and those below it: for lisafs these are one file system.
constexpr Honoured kHonoured[] = {
    {"ro", &OciMountOptions::read_only, true},   {"rw", &OciMountOptions::read_only, false},
    {"rro", &OciMountOptions::read_only, true},  {"rrw", &OciMountOptions::read_only, false},
    {"nosuid", &OciMountOptions::nosuid, true},  {"suid", &OciMountOptions::nosuid, false},
    {"rnosuid", &OciMountOptions::nosuid, true}, {"rsuid", &OciMountOptions::nosuid, false},
    {"nodev", &OciMountOptions::nodev, true},    {"dev", &OciMountOptions::nodev, false},
    {"rnodev", &OciMountOptions::nodev, true},   {"rdev", &OciMountOptions::nodev, false},
    {"noexec", &OciMountOptions::noexec, true},  {"exec", &OciMountOptions::noexec, false},
    {"rnoexec", &OciMountOptions::noexec, true}, {"rexec", &OciMountOptions::noexec, false},
};

// Left to the low-level runtime, which applies them to the mount inside the container: propagation that ends there,
// access times (which the host's mount decides in the end) and what has no effect on bind mounts.
constexpr absl::string_view kPassedOn[] = {
    "defaults",       "remount",     "private",    "rprivate",     "unbindable", "runbindable", "atime",
    "noatime",        "diratime",    "nodiratime", "relatime",     "norelatime", "strictatime", "nostrictatime",
    "ratime",         "rnoatime",    "rdiratime",  "rnodiratime",  "rrelatime",  "rnorelatime", "rstrictatime",
    "rnostrictatime", "lazytime",    "nolazytime", "sync",         "async",      "dirsync",     "mand",
    "nomand",         "iversion",    "noiversion", "acl",          "noacl",      "silent",      "loud",
    "symfollow",      "nosymfollow", "rsymfollow", "rnosymfollow",
};

struct Refused {
  absl::string_view name;
  absl::string_view why;
};

constexpr absl::string_view kNoPropagation =
    "mounts made on the host later do not show inside, nor the other way round";

constexpr Refused kRefused[] = {
    {"shared", kNoPropagation},
    {"rshared", kNoPropagation},
    {"slave", kNoPropagation},
    {"rslave", kNoPropagation},
};

}  // namespace

OciMountOptions FindBindOptions(const std::vector<std::string>& options) {
  OciMountOptions out;
  for (const std::string& option : options) {
    if (option != "bind" && option != "rbind") continue;
    out.bind = true;
    out.recursive = option == "rbind";
  }
  return out;
}

absl::StatusOr<OciMountOptions> ReadBindOptions(const std::vector<std::string>& options) {
  OciMountOptions out = FindBindOptions(options);
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") continue;
    const std::string name = option.substr(0, option.find('='));
    if (name == "idmap" || name == "ridmap") {
      out.id_mapped = true;
      out.id_mapped_recursive = name == "ridmap";
      out.id_map = option.substr(std::min(name.size() + 1, option.size()));
      if (out.id_map.empty() && option != name) {
        return absl::InvalidArgumentError(absl::StrCat("option ", option, " has no ids"));
      }
      continue;
    }
    const auto* honoured = std::find_if(std::begin(kHonoured), std::end(kHonoured),
                                        [&](const Honoured& candidate) { return candidate.name == option; });
    if (honoured != std::end(kHonoured)) {
      out.*honoured->member = honoured->value;
      continue;
    }
    if (std::find(std::begin(kPassedOn), std::end(kPassedOn), option) != std::end(kPassedOn)) continue;
    const auto* refused = std::find_if(std::begin(kRefused), std::end(kRefused),
                                       [&](const Refused& candidate) { return candidate.name == option; });
    return absl::InvalidArgumentError(refused != std::end(kRefused)
                                          ? absl::StrCat("option ", option, " cannot be honoured: ", refused->why)
                                          : absl::StrCat("option ", option, " is not known"));
  }
  return out;
}

}  // namespace lisafs
