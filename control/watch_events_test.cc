// What lisafsd tells those who watch.

#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "control/service_testing.h"

namespace lisafs {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;

// A watch that has begun.
class Watch {
 public:
  Watch(v1::Control::Stub& stub, const v1::WatchEventsRequest& request)
      : reader_(stub.WatchEvents(&context_, request)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    EXPECT_TRUE(reader_->Read(&first_));
    EXPECT_EQ(first_.events_size(), 0);
    token_ = first_.resume_token();
  }
  ~Watch() {
    context_.TryCancel();
    reader_->Finish();
  }

  v1::Event Next() {
    while (pending_.empty()) {
      v1::WatchEventsResponse response;
      if (!reader_->Read(&response)) {
        ADD_FAILURE() << "the watch ended";
        return {};
      }
      token_ = response.resume_token();
      pending_.insert(pending_.end(), response.events().begin(), response.events().end());
    }
    v1::Event event = pending_.front();
    pending_.erase(pending_.begin());
    return event;
  }
  const v1::WatchEventsResponse& first() const { return first_; }
  const std::string& token() const { return token_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader_;
  v1::WatchEventsResponse first_;
  std::string token_;
  std::vector<v1::Event> pending_;
};

TEST_F(ServiceTest, EventsTellASandboxesLife) {
  Watch watch(*stub_, {});
  ASSERT_TRUE(Create(Request("web")).ok());
  v1::Event event = watch.Next();
  EXPECT_EQ(event.type(), v1::Event::TYPE_SANDBOX_CREATED);
  EXPECT_EQ(event.sandbox_id(), "web");
  EXPECT_EQ(event.count(), 1u);
  EXPECT_GT(event.time().seconds(), 0);
  ASSERT_TRUE(Delete("web").ok());
  event = watch.Next();
  EXPECT_EQ(event.type(), v1::Event::TYPE_SANDBOX_ENDED);
  EXPECT_EQ(event.message(), "deleted");
}

TEST_F(ServiceTest, EventsTellADeath) {
  v1::Sandbox sandbox;
  ASSERT_TRUE(Create(Request("web"), &sandbox).ok());
  Watch watch(*stub_, {});
  kill(sandbox.gofer_pid(), SIGKILL);
  // A plugin that has not connected yet ends as well, and may be seen first.
  std::vector<v1::Event> events = {watch.Next(), watch.Next()};
  if (events.front().message().find("gofer") == std::string::npos) events.push_back(watch.Next());
  auto has = [&](v1::Event::Type type, const std::string& message) {
    return std::any_of(events.begin(), events.end(), [&](const v1::Event& event) {
      return event.type() == type && event.message().find(message) != std::string::npos;
    });
  };
  EXPECT_TRUE(has(v1::Event::TYPE_PROCESS_DIED, "gofer killed by signal 9"));
  EXPECT_TRUE(has(v1::Event::TYPE_SANDBOX_FAILED, ""));
}

TEST_F(ServiceTest, AWatchResumesWhereItEnded) {
  std::string token;
  {
    Watch watch(*stub_, {});
    token = watch.token();
  }
  ASSERT_TRUE(Create(Request("web")).ok());
  ASSERT_TRUE(Delete("web").ok());
  v1::WatchEventsRequest request;
  request.set_resume_token(token);
  {
    Watch watch(*stub_, request);
    EXPECT_EQ(watch.Next().type(), v1::Event::TYPE_SANDBOX_CREATED);
    EXPECT_EQ(watch.Next().type(), v1::Event::TYPE_SANDBOX_ENDED);
    token = watch.token();
  }
  // Of another type, and from the first one on.
  v1::WatchEventsRequest replay;
  replay.set_replay(true);
  replay.set_sandbox_id("web");
  replay.add_types(v1::Event::TYPE_SANDBOX_ENDED);
  EXPECT_EQ(Watch(*stub_, replay).Next().type(), v1::Event::TYPE_SANDBOX_ENDED);

  ASSERT_EQ(StopDaemon(SIGTERM), 0);
  StartDaemon();
  request.set_resume_token(token);
  EXPECT_TRUE(Watch(*stub_, request).first().restarted());

  request.set_resume_token("yesterday");
  grpc::ClientContext context;
  auto reader = stub_->WatchEvents(&context, request);
  v1::WatchEventsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lisafs
