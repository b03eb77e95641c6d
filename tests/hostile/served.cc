#include "tests/hostile/served.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <chrono>
#include <fstream>

#include "base/fd.h"

namespace lisafs::conformance {
namespace {

using std::chrono::seconds;
using tests::Eventually;

std::string Proc(pid_t pid, const std::string& name) { return "/proc/" + std::to_string(pid) + "/" + name; }

}  // namespace

Served::Served(const std::vector<Mount>& mounts, const std::vector<std::string>& before) {
  std::vector<std::string> command = before;
  command.push_back(tests::DataFile("gofer/lisafs-gofer"));
  command.push_back("--name-violations");
  std::vector<Fd> servers;
  for (const Mount& mount : mounts) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    EXPECT_EQ(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
    servers.emplace_back(ends[0]);
    clients_.push_back(std::make_unique<Peer>(Fd(ends[1])));
    command.push_back("--serve");
    command.push_back(std::to_string(ends[0]) + "=" + mount.directory + mount.options);
  }
  gofer_ = std::make_unique<tests::Process>(command, tests::RunOptions{});
  servers.clear();
  for (auto& client : clients_) EXPECT_TRUE(client->Mount(client->socket()).ok()) << gofer_->err();
  std::string started = std::to_string(gofer_->pid());
  std::ifstream(Proc(gofer_->pid(), "task/" + started + "/children")) >> pid_;
  EXPECT_GT(pid_, 0);
}

Served::~Served() {
  clients_.clear();
  auto ran = gofer_->Wait();
  EXPECT_EQ(ran.status, killed_ ? 128 + SIGKILL : 0) << ran;
  EXPECT_EQ(ran.err, "");
}

bool Served::Kill() {
  killed_ = true;
  kill(pid_, SIGKILL);
  return Eventually(tests::kPatience, [&] { return tests::ListDirectory(Proc(pid_, "task")).empty(); });
}

size_t Served::Fds() const { return tests::ListDirectory(Proc(pid_, "fd")).size(); }

int Served::Threads() const { return atoi(tests::ProcessStatus(pid_, "Threads").c_str()); }

size_t Served::MemoryKilobytes() const { return strtoul(tests::ProcessStatus(pid_, "VmRSS").c_str(), nullptr, 10); }

std::unique_ptr<RawChannel> Served::MakeChannel(size_t mount) {
  auto channel = client(mount).MakeChannel(socket(mount));
  if (channel == nullptr || channel->Handshake() != Answer::End::kAnswered) return nullptr;
  return channel;
}

Fdid Served::Walk(Lane& lane, Fdid directory, std::string_view name) {
  Answer answer = Ask<Mid::kWalk>(lane, {.dir_fd = directory, .path = StringArray({&name, 1})});
  WalkResp response;
  if (!answer.ok() || !Decode(answer.payload, response) || response.inodes.size() != 1) return kInvalidFdid;
  return response.inodes[0].control_fd;
}

}  // namespace lisafs::conformance
