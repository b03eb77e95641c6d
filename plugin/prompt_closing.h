#ifndef LISAFS_PLUGIN_PROMPT_CLOSING_H_
#define LISAFS_PLUGIN_PROMPT_CLOSING_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "lisafs/client.h"

namespace lisafs {

// Has the server close what the container had open for writing soon after that: others may wait for it
// (IN_CLOSE_WRITE). Otherwise it is told of many files at once, whenever there are so many. A thread of its own, which
// serves no requests and sleeps until there is something to close.
class PromptClosing {
 public:
  // For what is closed within this time there is one request.
  static constexpr std::chrono::milliseconds kGather{20};

  // `client` must outlive this. Throws std::system_error if there is no thread to be had.
  explicit PromptClosing(Client& client);
  // Ends the thread, when a request of its own is answered.
  ~PromptClosing();
  PromptClosing(const PromptClosing&) = delete;
  PromptClosing& operator=(const PromptClosing&) = delete;

  // Client::CloseLater was called. Any thread may call this.
  void Closed();

 private:
  void Run();

  Client& client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> any_ = false;  // Set with the lock held.
  bool ending_ = false;            // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_PROMPT_CLOSING_H_
