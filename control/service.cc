#include "control/service.h"

#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/escape.h"
#include "base/status.h"
#include "control/access_recorder.h"
#include "control/errors.h"
#include "control/process_statistics.h"
#include "control/validation.h"

namespace lisafs {
namespace {

using google::protobuf::util::TimeUtil;
using grpc::ServerContext;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint32_t kDefaultIntervalMilliseconds = 1000;

// A request that names one sandbox, or all with an empty id.
absl::Status ValidateScope(const std::string& id) { return id.empty() ? absl::OkStatus() : ValidateSandboxId(id); }

template <typename Response>
void SetTime(Response& response) {
  // Not GetCurrentTime, which knows whole seconds only.
  const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  *response.mutable_time() = TimeUtil::NanosecondsToTimestamp(now.count());
}

absl::Status FillStatistics(const Registry& registry, const std::string& id,
                            control::v1::WatchStatisticsResponse& response) {
  auto mounts = registry.Statistics(id);
  if (!mounts.ok()) return mounts.status();
  SetTime(response);
  for (control::v1::MountStatistics& mount : *mounts) *response.add_mounts() = std::move(mount);
  return absl::OkStatus();
}

bool Wants(const control::v1::WatchEventsRequest& request, const control::v1::Event& event) {
  if (!request.sandbox_id().empty() && request.sandbox_id() != event.sandbox_id()) return false;
  const auto& types = request.types();
  return types.empty() || std::find(types.begin(), types.end(), event.type()) != types.end();
}

void Describe(const std::string& path, uint16_t what, control::v1::FileAccess& file) {
  file.set_path(path);
  file.set_looked_up((what & kLookedUp) != 0);
  file.set_read((what & kReadFrom) != 0);
  file.set_written((what & kWrittenTo) != 0);
  file.set_executed((what & kExecuted) != 0);
  file.set_made((what & kMade) != 0);
  file.set_removed((what & kRemoved) != 0);
  file.set_attributes_changed((what & kAttributesChanged) != 0);
  file.set_missing((what & kMissing) != 0);
  file.set_refused((what & kRefused) != 0);
}

}  // namespace

ControlService::ControlService(Registry& registry, Events& events, Gate& gate)
    : GuardedService("lisafs.control.v1.Control", gate), registry_(registry), events_(events) {
  Serve("CreateSandbox", Role::kAdmin, &ControlService::CreateSandbox);
  Serve("ListSandboxes", Role::kReader, &ControlService::ListSandboxes);
  Serve("GetSandbox", Role::kReader, &ControlService::GetSandbox);
  Serve("DeleteSandbox", Role::kAdmin, &ControlService::DeleteSandbox);
  Serve("ListMounts", Role::kReader, &ControlService::ListMounts);
  Serve("AddMount", Role::kAdmin, &ControlService::AddMount);
  Serve("RemoveMount", Role::kAdmin, &ControlService::RemoveMount);
  Serve("UpdateMount", Role::kAdmin, &ControlService::UpdateMount);
  Serve("GetStatistics", Role::kReader, &ControlService::GetStatistics);
  Serve("WatchStatistics", Role::kReader, &ControlService::WatchStatistics);
  Serve("WatchEvents", Role::kReader, &ControlService::WatchEvents);
  Serve("RecordAccess", Role::kAdmin, &ControlService::RecordAccess);
}

template <typename Request, typename Response>
absl::StatusOr<std::vector<std::string>> ControlService::Page(const std::string& id, const Request& request,
                                                              Response& response) const {
  constexpr int kDefaultPage = 100;
  if (absl::Status valid = ValidateScope(id); !valid.ok()) return valid;
  if (absl::Status valid = ValidatePage(request.page_size(), request.page_token()); !valid.ok()) return valid;
  if (!id.empty()) return std::vector<std::string>{id};
  const size_t size = static_cast<size_t>(request.page_size() == 0 ? kDefaultPage : request.page_size());
  // One more, to learn whether there are more.
  std::vector<std::string> ids = registry_.Ids(request.page_token(), size + 1);
  if (ids.size() <= size) return ids;
  ids.pop_back();
  response.set_next_page_token(ids.back());
  return ids;
}

grpc::Status ControlService::CreateSandbox(ServerContext* context, const control::v1::CreateSandboxRequest* request,
                                           control::v1::CreateSandboxResponse* response) {
  if (absl::Status valid = ValidateCreateSandbox(*request); !valid.ok()) return ToGrpc(valid);
  control::v1::CreateSandboxRequest complete = *request;
  ChooseCaching(complete);
  auto sandbox = registry_.Create(complete, [&] { return context->IsCancelled(); });
  if (!sandbox.ok()) return ToGrpc(sandbox.status());
  *response->mutable_sandbox() = *std::move(sandbox);
  response->set_container_file(registry_.ContainerFile(request->id()));
  return grpc::Status::OK;
}

grpc::Status ControlService::ListSandboxes(ServerContext*, const control::v1::ListSandboxesRequest* request,
                                           control::v1::ListSandboxesResponse* response) {
  auto ids = Page("", *request, *response);
  if (!ids.ok()) return ToGrpc(ids.status());
  for (const std::string& id : *ids) {
    // One that has just gone is left out.
    if (auto sandbox = registry_.Get(id); sandbox.ok()) *response->add_sandboxes() = *std::move(sandbox);
  }
  return grpc::Status::OK;
}

grpc::Status ControlService::GetSandbox(ServerContext*, const control::v1::GetSandboxRequest* request,
                                        control::v1::GetSandboxResponse* response) {
  if (absl::Status valid = ValidateSandboxId(request->id()); !valid.ok()) return ToGrpc(valid);
  auto sandbox = registry_.Get(request->id());
  if (!sandbox.ok()) return ToGrpc(sandbox.status());
  *response->mutable_sandbox() = *std::move(sandbox);
  return grpc::Status::OK;
}

grpc::Status ControlService::DeleteSandbox(ServerContext*, const control::v1::DeleteSandboxRequest* request,
                                           control::v1::DeleteSandboxResponse*) {
  if (absl::Status valid = ValidateSandboxId(request->id()); !valid.ok()) return ToGrpc(valid);
  return ToGrpc(registry_.Delete(request->id()));
}

grpc::Status ControlService::ListMounts(ServerContext*, const control::v1::ListMountsRequest* request,
                                        control::v1::ListMountsResponse* response) {
  auto ids = Page(request->sandbox_id(), *request, *response);
  if (!ids.ok()) return ToGrpc(ids.status());
  for (const std::string& id : *ids) {
    auto sandbox = registry_.Get(id);
    if (!sandbox.ok()) {
      if (!request->sandbox_id().empty()) return ToGrpc(sandbox.status());
      continue;
    }
    for (control::v1::Mount& mount : *sandbox->mutable_mounts()) {
      control::v1::ListMountsResponse::Entry* entry = response->add_entries();
      entry->set_sandbox_id(id);
      *entry->mutable_mount() = std::move(mount);
    }
  }
  return grpc::Status::OK;
}

grpc::Status ControlService::AddMount(ServerContext* context, const control::v1::AddMountRequest* request,
                                      control::v1::AddMountResponse* response) {
  if (absl::Status valid = ValidateAddMount(*request); !valid.ok()) return ToGrpc(valid);
  control::v1::AddMountRequest complete = *request;
  ChooseCaching(*complete.mutable_mount());
  auto mount = registry_.AddMount(complete, [&] { return context->IsCancelled(); });
  if (!mount.ok()) return ToGrpc(mount.status());
  *response->mutable_mount() = *std::move(mount);
  return grpc::Status::OK;
}

grpc::Status ControlService::RemoveMount(ServerContext* context, const control::v1::RemoveMountRequest* request,
                                         control::v1::RemoveMountResponse*) {
  if (absl::Status valid = ValidateRemoveMount(*request); !valid.ok()) return ToGrpc(valid);
  return ToGrpc(registry_.RemoveMount(*request, [&] { return context->IsCancelled() || stopping_; }));
}

grpc::Status ControlService::UpdateMount(ServerContext*, const control::v1::UpdateMountRequest* request,
                                         control::v1::UpdateMountResponse* response) {
  if (absl::Status valid = ValidateUpdateMount(*request); !valid.ok()) return ToGrpc(valid);
  auto mount = registry_.UpdateMount(*request);
  if (!mount.ok()) return ToGrpc(mount.status());
  *response->mutable_mount() = *std::move(mount);
  return grpc::Status::OK;
}

grpc::Status ControlService::GetStatistics(ServerContext*, const control::v1::GetStatisticsRequest* request,
                                           control::v1::GetStatisticsResponse* response) {
  auto ids = Page(request->sandbox_id(), *request, *response);
  if (!ids.ok()) return ToGrpc(ids.status());
  SetTime(*response);
  for (const std::string& id : *ids) {
    auto mounts = registry_.Statistics(id);
    if (!mounts.ok()) {
      if (!request->sandbox_id().empty()) return ToGrpc(mounts.status());
      spdlog::warn("{}", std::string(mounts.status().message()));
      continue;
    }
    for (control::v1::MountStatistics& mount : *mounts) *response->add_mounts() = std::move(mount);
    if (!request->with_processes()) continue;
    auto sandbox = registry_.Get(id);
    if (!sandbox.ok()) continue;
    for (control::v1::ProcessStatistics& process : ProcessesOf(*sandbox)) {
      *response->add_processes() = std::move(process);
    }
  }
  return grpc::Status::OK;
}

grpc::Status ControlService::WatchStatistics(ServerContext* context, const control::v1::WatchStatisticsRequest* request,
                                             grpc::ServerWriter<control::v1::WatchStatisticsResponse>* writer) {
  if (absl::Status valid = ValidateScope(request->sandbox_id()); !valid.ok()) return ToGrpc(valid);
  if (absl::Status valid = ValidateInterval(request->interval_milliseconds()); !valid.ok()) return ToGrpc(valid);
  uint32_t interval = request->interval_milliseconds();
  if (interval == 0) interval = kDefaultIntervalMilliseconds;
  auto next = steady_clock::now();
  do {
    control::v1::WatchStatisticsResponse response;
    absl::Status status = FillStatistics(registry_, request->sandbox_id(), response);
    if (!status.ok()) return ToGrpc(status);
    // A client that reads too slowly is waited for here.
    if (!writer->Write(response)) break;
    next = std::max(next + milliseconds(interval), steady_clock::now());
  } while (SleepUntil(*context, next));
  return WhyStopped(*context);
}

grpc::Status ControlService::WatchEvents(ServerContext* context, const control::v1::WatchEventsRequest* request,
                                         grpc::ServerWriter<control::v1::WatchEventsResponse>* writer) {
  if (absl::Status valid = ValidateScope(request->sandbox_id()); !valid.ok()) return ToGrpc(valid);
  uint64_t next = request->replay() ? events_.Begin() : events_.End();
  control::v1::WatchEventsResponse response;
  if (!request->resume_token().empty()) {
    auto number = events_.ParseToken(request->resume_token());
    if (!number.ok()) return ToGrpc(number.status());
    response.set_restarted(!number->has_value());
    next = number->value_or(0);
  }
  response.set_resume_token(events_.Token(next));
  constexpr auto kBetweenQuestions = milliseconds(200);
  // A client that reads too slowly is waited for in Write, and misses what is no longer kept then.
  while (writer->Write(response)) {
    do {
      if (context->IsCancelled() || stopping_) return WhyStopped(*context);
      Events::Batch batch = events_.Read(next, kBetweenQuestions);
      response.Clear();
      response.set_missed(batch.missed);
      for (control::v1::Event& event : batch.events) {
        if (Wants(*request, event)) *response.add_events() = std::move(event);
      }
    } while (response.events().empty() && response.missed() == 0);
    response.set_resume_token(events_.Token(next));
  }
  return WhyStopped(*context);
}

grpc::Status ControlService::RecordAccess(ServerContext* context, const control::v1::RecordAccessRequest* request,
                                          grpc::ServerWriter<control::v1::RecordAccessResponse>* writer) {
  const std::string& id = request->sandbox_id();
  if (absl::Status valid = ValidateSandboxId(id); !valid.ok()) return ToGrpc(valid);
  const auto gofer = registry_.GoferOf(id, request->target());
  if (!gofer.ok()) return ToGrpc(gofer.status());
  auto recorder = registry_.RecordAccess(id, request->target());
  if (!recorder.ok()) return ToGrpc(recorder.status());

  constexpr auto kBetweenQuestions = milliseconds(200);
  control::v1::RecordAccessResponse response;
  uint64_t missed = 0;
  bool full = false;
  while (writer->Write(response)) {
    response.Clear();
    do {
      if (context->IsCancelled() || stopping_) return WhyStopped(*context);
      const auto now = registry_.GoferOf(id, request->target());
      if (!now.ok()) return ToGrpc(now.status());
      if (*now != *gofer) return ToGrpc(absl::FailedPreconditionError("the gofer is gone"));
      auto news = (*recorder)->Collect(kBetweenQuestions);
      if (!news.ok()) return ToGrpc(news.status());
      for (const auto& [path, what] : *news) Describe(path, what, *response.add_files());
      response.set_missed((*recorder)->missed() - std::exchange(missed, (*recorder)->missed()));
      response.set_incomplete(missed > 0 || (*recorder)->full());
    } while (response.files().empty() && response.missed() == 0 && (*recorder)->full() == full);
    full = (*recorder)->full();
  }
  return WhyStopped(*context);
}

grpc::Status ControlService::WhyStopped(const ServerContext& context) const {
  if (context.IsCancelled()) return grpc::Status::CANCELLED;
  return {grpc::StatusCode::UNAVAILABLE, "lisafsd stops"};
}

bool ControlService::SleepUntil(const ServerContext& context, steady_clock::time_point end) const {
  constexpr auto kBetweenQuestions = milliseconds(50);
  while (!context.IsCancelled() && !stopping_) {
    auto left = end - steady_clock::now();
    if (left <= left.zero()) return true;
    std::this_thread::sleep_for(std::min<steady_clock::duration>(left, kBetweenQuestions));
  }
  return false;
}

}  // namespace lisafs
