#include "seccomp/runtime_rules.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "seccomp/policy_testing.h"

namespace lisafs {
namespace {

class RuntimeRulesTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "the sanitizer's own malloc and threads make other calls than libc's";
#endif
  }
};

// What C++ programs do without thinking of system calls.
std::string UnderRuntimeRules(const std::function<void()>& body) {
  return OutcomeOf([&] {
    SeccompPolicy policy;
    AllowRuntime(policy);
    InstallOrExit(policy);
    body();
  });
}

TEST_F(RuntimeRulesTest, Threads) {
  EXPECT_EQ(UnderRuntimeRules([] {
              std::atomic<int> ran = 0;
              std::vector<std::thread> threads;
              for (int i = 0; i < 8; ++i) {
                threads.emplace_back([&] { ++ran; });
              }
              for (std::thread& thread : threads) thread.join();
              if (ran != 8) _exit(1);
            }),
            kSurvived);
}

TEST_F(RuntimeRulesTest, Waiting) {
  EXPECT_EQ(UnderRuntimeRules([] {
              std::mutex mutex;
              std::condition_variable changed;
              bool done = false;
              std::atomic<int> word = 0;
              std::thread other([&] {
                word.wait(0);
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                std::lock_guard lock(mutex);
                done = true;
                changed.notify_all();
              });
              word = 1;
              word.notify_one();
              std::unique_lock lock(mutex);
              changed.wait_for(lock, std::chrono::microseconds(10));
              changed.wait(lock, [&] { return done; });
              lock.unlock();
              other.join();
            }),
            kSurvived);
}

// A heap that belongs to a thread grows, and shrinks when its top is free: malloc then asks the kernel's settings.
TEST_F(RuntimeRulesTest, HeapsOfThreads) {
  EXPECT_EQ(UnderRuntimeRules([] {
              auto churn = [] {
                for (int round = 0; round < 4; ++round) {
                  std::vector<std::unique_ptr<char[]>> blocks;
                  for (int i = 0; i < 1000; ++i) {
                    blocks.push_back(std::make_unique<char[]>(100'000));
                    blocks.back()[i] = 1;
                  }
                }
                char* large = static_cast<char*>(malloc(10'000'000));
                large = static_cast<char*>(realloc(large, 30'000'000));
                free(large);
              };
              std::thread one(churn);
              std::thread two(churn);
              churn();
              one.join();
              two.join();
            }),
            kSurvived);
}

TEST_F(RuntimeRulesTest, Exceptions) {
  EXPECT_EQ(UnderRuntimeRules([] {
              try {
                throw std::runtime_error("test");
              } catch (const std::exception&) {
                return;
              }
              _exit(1);
            }),
            kSurvived);
}

// A program that gives up must be seen to: not a SIGSYS that hides why.
TEST_F(RuntimeRulesTest, AbortIsAbort) {
  EXPECT_EQ(UnderRuntimeRules([] { abort(); }), "killed by SIGABRT");
  EXPECT_EQ(UnderRuntimeRules([] { std::terminate(); }), "killed by SIGABRT");
  EXPECT_EQ(UnderRuntimeRules([] { std::thread([] { abort(); }).join(); }), "killed by SIGABRT");
}

TEST_F(RuntimeRulesTest, CorruptHeapIsReported) {
  EXPECT_EQ(UnderRuntimeRules([] {
              void* volatile block = malloc(100'000'000);
              free(static_cast<char*>(block) + 16);
            }),
            "killed by SIGABRT");
}

TEST_F(RuntimeRulesTest, OpensNothing) {
  EXPECT_EQ(UnderRuntimeRules([] { _exit(fopen("/etc/passwd", "r") == nullptr && errno == ENOENT ? 0 : 1); }),
            kSurvived);
}

}  // namespace
}  // namespace lisafs
