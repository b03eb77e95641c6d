#ifndef LISAFS_PLUGIN_OPERATIONS_TESTING_H_
#define LISAFS_PLUGIN_OPERATIONS_TESTING_H_

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/fake_client.h"
#include "plugin/operations.h"

namespace lisafs {

// Operations on the files of a FakeClient, asked as the kernel would.
class OperationsTest : public testing::Test {
 protected:
  static constexpr uint64_t kRoot = 1;

  struct Answer {
    int error;
    std::string payload;
    bool expected;

    // The struct at `offset`.
    template <typename T>
    T As(size_t offset = 0) const {
      T value = {};
      EXPECT_GE(payload.size(), offset + sizeof value);
      if (payload.size() >= offset + sizeof value) memcpy(&value, payload.data() + offset, sizeof value);
      return value;
    }
  };

  // Arguments are structs, and strings that are sent with a NUL.
  template <typename... Argument>
  Answer Ask(uint32_t opcode, uint64_t nodeid, const Argument&... arguments) {
    std::string bytes;
    (Append(bytes, arguments), ...);
    return AskBytes(opcode, nodeid, bytes);
  }
  Answer AskBytes(uint32_t opcode, uint64_t nodeid, std::string_view arguments) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof header + arguments.size());
    header.opcode = opcode;
    header.nodeid = nodeid;
    header.uid = 1000;
    header.gid = 2000;
    header.pid = pid;
    std::string request(reinterpret_cast<const char*>(&header), sizeof header);
    request += arguments;
    int error = operations().Serve(std::as_bytes(std::span(request)), reply);
    auto payload = reply.payload();
    return {error, error != 0 ? "" : std::string(reinterpret_cast<const char*>(payload.data()), payload.size()),
            reply.expected()};
  }

  // LOOKUP of something that is there.
  uint64_t LookUp(uint64_t parent, const char* name) {
    Answer answer = Ask(FUSE_LOOKUP, parent, name);
    EXPECT_EQ(answer.error, 0) << name;
    return answer.As<fuse_entry_out>().nodeid;
  }
  uint64_t Open(uint64_t node, uint32_t flags) {
    Answer answer = Ask(FUSE_OPEN, node, fuse_open_in{flags, 0});
    EXPECT_EQ(answer.error, 0);
    return answer.As<fuse_open_out>().fh;
  }
  // The kernel begins, and offers `flags` of FUSE_INIT's.
  fuse_init_out Init(uint64_t flags) {
    fuse_init_in in = {.major = 7, .minor = 45, .flags = static_cast<uint32_t>(flags | FUSE_INIT_EXT)};
    in.flags2 = static_cast<uint32_t>(flags >> 32);
    return Ask(FUSE_INIT, 0, in).As<fuse_init_out>();
  }
  void TakeBack() { operations_->TakeBack(reply); }
  Operations& operations() {
    if (!operations_) {
      operations_.emplace(client,
                          MountOptions{.read_only = read_only,
                                       .exclusive = exclusive,
                                       .passthrough_from = passthrough_from,
                                       .policy = &policy,
                                       .claims = &claims},
                          std::move(waker));
    }
    return *operations_;
  }

  FakeClient client;
  bool read_only = false;
  bool exclusive = false;
  std::optional<uint64_t> passthrough_from;
  LivePolicy policy;
  PluginClaims claims;
  WakerSocket waker;
  uint32_t pid = 0;  // Of who asks.
  std::vector<std::byte> buffer = std::vector<std::byte>(kMaxTransfer + 4096);
  Reply reply{buffer};

 private:
  template <typename T>
  static void Append(std::string& bytes, const T& argument) {
    if constexpr (std::is_convertible_v<T, std::string_view>) {
      bytes += std::string_view(argument);
      bytes += '\0';
    } else {
      bytes.append(reinterpret_cast<const char*>(&argument), sizeof argument);
    }
  }

  std::optional<Operations> operations_;
};

// The same, of directories that are listed.
class ListingTest : public OperationsTest {
 protected:
  struct Listed {
    std::string name;
    uint64_t next;
    uint64_t ino;
    uint64_t nodeid;
  };
  std::vector<Listed> List(uint32_t opcode, uint64_t node, uint64_t offset, uint32_t size = 4096) {
    auto answer = Ask(opcode, node, fuse_read_in{.offset = offset, .size = size});
    EXPECT_EQ(answer.error, 0);
    EXPECT_LE(answer.payload.size(), size);
    std::vector<Listed> listed;
    for (size_t at = 0; at < answer.payload.size();) {
      uint64_t nodeid = 0;
      if (opcode == FUSE_READDIRPLUS) {
        nodeid = answer.As<fuse_entry_out>(at).nodeid;
        at += sizeof(fuse_entry_out);
      }
      auto dirent = answer.As<fuse_dirent>(at);
      listed.push_back({answer.payload.substr(at + FUSE_NAME_OFFSET, dirent.namelen), dirent.off, dirent.ino, nodeid});
      at += FUSE_DIRENT_SIZE(&dirent);
    }
    return listed;
  }
  static std::string Names(const std::vector<Listed>& listed) {
    std::string names;
    for (const Listed& entry : listed) names += entry.name + " ";
    return names;
  }
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_OPERATIONS_TESTING_H_
