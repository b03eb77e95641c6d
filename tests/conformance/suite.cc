#include "tests/conformance/suite.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace lisafs::conformance {
namespace {

std::string Trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

std::set<std::string> Alternatives(std::string_view outcomes) {
  std::set<std::string> all;
  for (size_t at = 0; at <= outcomes.size();) {
    size_t end = std::min(outcomes.find('|', at), outcomes.size());
    all.insert(std::string(outcomes.substr(at, end - at)));
    at = end + 1;
  }
  return all;
}

}  // namespace

Expectations Expectations::Parse(std::string_view text, std::vector<std::string>& errors) {
  Expectations expectations;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::string content = Trimmed(std::string_view(line).substr(0, line.find('#')));
    if (content.empty()) continue;
    size_t slash = content.find(" / "), arrow = content.rfind(" => ");
    if (slash == content.npos || arrow == content.npos || arrow < slash) {
      errors.push_back("not CASE / ROW => OUTCOME: " + line);
      continue;
    }
    std::string test_case = Trimmed(content.substr(0, slash));
    if (std::ranges::none_of(AllCases(), [&](const Case& known) { return known.name == test_case; })) {
      errors.push_back("there is no case " + test_case);
    }
    auto key = std::pair(test_case, Trimmed(content.substr(slash + 3, arrow - slash - 3)));
    if (!expectations.outcomes_.emplace(key, Trimmed(content.substr(arrow + 4))).second) {
      errors.push_back("twice: " + line);
    }
  }
  return expectations;
}

std::string Expectations::Wanted(const std::string& test_case, const std::string& row,
                                 const std::string& wanted) const {
  auto entry = outcomes_.find({test_case, row});
  return entry == outcomes_.end() ? wanted : entry->second;
}

std::vector<std::string> Expectations::RowsOf(const std::string& test_case) const {
  std::vector<std::string> rows;
  for (const auto& [key, outcome] : outcomes_) {
    if (key.first == test_case) rows.push_back(key.second);
  }
  return rows;
}

std::unique_ptr<RawChannel> Peer::MakeChannel(Lane& lane, Answer* answer) {
  Answer made = lane.Exchange(static_cast<uint16_t>(Mid::kChannel), {});
  ChannelResp response;
  std::unique_ptr<RawChannel> channel;
  if (made.ok() && Decode(made.payload, response) && made.donated.size() == 2) {
    channel = std::make_unique<RawChannel>(response, std::move(made.donated[0]), std::move(made.donated[1]));
    if (!channel->valid()) channel.reset();
  }
  if (answer != nullptr) *answer = std::move(made);
  return channel;
}

Answer Peer::Mount(Lane& lane) {
  Answer answer = lane.Exchange(static_cast<uint16_t>(Mid::kMount), {});
  MountResp response;
  if (!answer.ok()) return answer;
  if (!Decode(answer.payload, response)) {
    answer.end = Answer::End::kBroken;
    return answer;
  }
  root_ = response.root;
  max_message_ = response.max_message;
  supported_.clear();
  for (size_t i = 0; i < response.supported.size(); ++i) supported_.push_back(response.supported[i]);
  return answer;
}

bool Peer::Supports(uint16_t mid) const { return std::ranges::find(supported_, mid) != supported_.end(); }

void Test::Row(const std::string& row, const std::string& wanted, const std::string& got) {
  if (!rows_.insert(row).second) {
    failures_.push_back({row, "a name of its own", "a row of that name came before"});
    return;
  }
  std::string expected = expectations_.Wanted(name_, row, wanted);
  if (expected != wanted && Alternatives(wanted).contains(expected)) {
    failures_.push_back({row, wanted, "an exception for what is right anyway"});
  }
  if (!Alternatives(expected).contains(got)) failures_.push_back({row, expected, got});
}

bool Test::Need(const std::string& what, bool holds) {
  // Asked more than once, it is still one row.
  const std::string got = holds ? "had" : "not to be had";
  const std::string wanted = expectations_.Wanted(name_, what, "had");
  if (!holds || wanted != got) rows_.insert(what);
  if (!Alternatives(wanted).contains(got)) failures_.push_back({what, wanted, got});
  return holds;
}

void Test::EnterDirectory(const std::string& served, const std::string& name) {
  host_ = served + "/" + name;
  // A container's files are for whoever its kernel lets in.
  bool made = mkdir(host_.c_str(), 0777) == 0 || errno == EEXIST;
  if (!Need("making " + host_, made && chmod(host_.c_str(), 0777) == 0)) return;
  auto walked = Walk(peer_.root().control_fd, {name});
  if (Need("walking to " + name, walked.ok() && walked.body.inodes.size() == 1)) {
    dir_ = walked.body.inodes[0].control_fd;
  }
}

Reply<Mid::kWalk> Test::Walk(Fdid fd, Names names) {
  return Call<Mid::kWalk>({.dir_fd = fd, .path = StringArray(std::span(names.begin(), names.size()))});
}

Reply<Mid::kWalkStat> Test::WalkStat(Fdid fd, Names names) {
  return Call<Mid::kWalkStat>({.dir_fd = fd, .path = StringArray(std::span(names.begin(), names.size()))});
}

Reply<Mid::kOpenCreateAt> Test::Create(Fdid dir, std::string_view name, uint32_t flags, uint16_t mode) {
  CreateCommon common{.dir_fd = dir, .uid = getuid(), .gid = getgid(), .mode = mode};
  return Call<Mid::kOpenCreateAt>({.common = common, .flags = flags, .name = name});
}

Reply<Mid::kMkdirAt> Test::Mkdir(Fdid dir, std::string_view name, uint16_t mode) {
  return Call<Mid::kMkdirAt>({.common = {.dir_fd = dir, .uid = getuid(), .gid = getgid(), .mode = mode}, .name = name});
}

Answer Test::Unlink(Fdid dir, std::string_view name, uint32_t flags) {
  return Call<Mid::kUnlinkAt>({.dir_fd = dir, .flags = flags, .name = name}).answer;
}

Answer Test::PWrite(Fdid fd, uint64_t offset, uint32_t count, std::string_view data) {
  return Call<Mid::kPWrite>({.offset = offset, .fd = fd, .count = count, .data = {std::as_bytes(std::span(data))}})
      .answer;
}

Answer Test::Close(std::initializer_list<Fdid> fds) {
  return Call<Mid::kClose>({FdArray(std::span(fds.begin(), fds.size()))}).answer;
}

Fdid Test::Find(std::string_view name) {
  auto walked = Walk(dir_, {name});
  if (!Need("a control FD of " + std::string(name), walked.ok() && walked.body.inodes.size() == 1)) return kInvalidFdid;
  return walked.body.inodes[0].control_fd;
}

Fdid Test::OpenFile(std::string_view name, uint32_t flags) {
  auto opened = Open(Find(name), flags);
  return Need("opening " + std::string(name), opened.ok()) ? opened.body.open_fd : kInvalidFdid;
}

bool Test::MakeFile(std::string_view name, std::string_view content) {
  std::ofstream file(Host(name), std::ios::binary);
  file << content;
  file.close();
  return Need("making the file " + std::string(name), bool(file) && chmod(Host(name).c_str(), 0644) == 0);
}

bool Test::MakeDirectory(std::string_view name) {
  return Need("making the directory " + std::string(name), mkdir(Host(name).c_str(), 0755) == 0);
}

bool Test::MakeSymlink(std::string_view name, const std::string& target) {
  return Need("making the link " + std::string(name), symlink(target.c_str(), Host(name).c_str()) == 0);
}

bool Test::MakeNode(std::string_view name, mode_t mode, dev_t device) {
  return Need("making the node " + std::string(name), mknod(Host(name).c_str(), mode, device) == 0);
}

std::string Test::Content(std::string_view name) const {
  std::ifstream file(Host(name), std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string TypeName(uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "dir";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "link";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    default:
      return Text("type", mode & S_IFMT);
  }
}

std::string Octal(uint16_t mode) {
  std::ostringstream text;
  text << std::oct << (mode & 07777);
  return text.str();
}

bool Case::RunsOn(const Serving& serving) const {
  switch (on) {
    case On::kAny:
      return true;
    case On::kWritable:
      return !serving.read_only;
    case On::kReadOnly:
      return serving.read_only;
    case On::kSockets:
      return serving.sockets && !serving.read_only;
    case On::kFifos:
      return serving.fifos && !serving.read_only;
  }
  return false;
}

const std::vector<Case>& AllCases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> cases;
    for (auto* add : {AddConnectionCases, AddEncodingCases, AddWalkCases, AddOpenCases, AddDataCases, AddAttributeCases,
                      AddCreateCases, AddNameCases, AddDirectoryCases, AddXattrCases, AddDeletedCases,
                      AddSocketFileCases, AddReadOnlyCases, AddExtensionCases, AddChannelCases}) {
      add(cases);
    }
    std::ranges::stable_sort(cases, {}, [](const Case& c) { return c.before_mount ? 0 : c.own_connection ? 2 : 1; });
    return cases;
  }();
  return all;
}

std::optional<std::vector<Failure>> Session::Run(const Case& test_case, bool over_channel) {
  using Failures = std::vector<Failure>;
  if (!mounted_ && !test_case.before_mount) {
    Answer mount = peer_.Mount(peer_.socket());
    if (!mount.ok()) return Failures{{"Mount", "ok", mount.ToString()}};
    mounted_ = true;
  }
  if (mounted_ && !peer_.Supports(test_case.needs)) return std::nullopt;
  if (over_channel && channel_ == nullptr) {
    Answer made;
    channel_ = peer_.MakeChannel(peer_.socket(), &made);
    if (channel_ == nullptr) return Failures{{"Channel", "ok and two descriptors", made.ToString()}};
    if (Answer end{.end = channel_->Handshake()}; end.end != Answer::End::kAnswered) {
      return Failures{{"the channel's handshake", "an answer", end.ToString()}};
    }
  }
  Lane& lane = over_channel ? static_cast<Lane&>(*channel_) : peer_.socket();
  Test test(test_case.name, serving_, expectations_, peer_, lane);
  if (!test_case.before_mount) {
    test.EnterDirectory(directory_, test_case.name + (over_channel ? ".channel" : ".socket"));
    if (!test.failures().empty()) return test.failures();
  }
  test_case.run(test);
  for (const std::string& row : expectations_.RowsOf(test_case.name)) {
    // How the server ends is known only to whoever started it.
    if (row != "server ends" && !test.rows().contains(row)) {
      test.failures().push_back({row, "the row that an exception is for", "no such row"});
    }
  }
  return test.failures();
}

}  // namespace lisafs::conformance
