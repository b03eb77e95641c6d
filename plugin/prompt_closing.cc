#include "plugin/prompt_closing.h"

namespace lisafs {

PromptClosing::PromptClosing(Client& client) : client_(client), thread_([this] { Run(); }) {}

PromptClosing::~PromptClosing() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void PromptClosing::Closed() {
  // Then it will be among what is to be closed.
  if (any_.load()) return;
  {
    std::lock_guard lock(mutex_);
    any_ = true;
  }
  changed_.notify_one();
}

void PromptClosing::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return any_ || ending_; });
    if (changed_.wait_for(lock, kGather, [&] { return ending_; })) return;
    any_ = false;
    lock.unlock();
    client_.FlushClosed();
    lock.lock();
  }
}

}  // namespace lisafs
