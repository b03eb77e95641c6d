#include "control/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace lisafs {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%e %n %l: %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","pid":%P,"message":%*})";

// %*: the message as a JSON string.
class QuotedMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string quoted = nlohmann::json(std::string(message.payload.data(), message.payload.size()))
                                   .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out.append(quoted.data(), quoted.data() + quoted.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<QuotedMessage>(); }
};

std::unique_ptr<spdlog::formatter> MakeFormatter(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (json) {
    formatter->add_flag<QuotedMessage>('*').set_pattern(kJsonPattern);
  } else {
    formatter->set_pattern(kTextPattern);
  }
  return formatter;
}

}  // namespace

absl::Status SetUpLog(const Config& config) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (config.log_destination == "journald") {
    sink = std::make_shared<spdlog::sinks::systemd_sink_mt>("lisafsd");
  } else if (config.log_destination == "stderr") {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(config.log_destination);
    } catch (const spdlog::spdlog_ex& error) {
      return absl::InvalidArgumentError(error.what());
    }
  }
  auto logger = std::make_shared<spdlog::logger>("lisafsd", std::move(sink));
  // The journal has its own time and priority.
  if (config.log_destination != "journald") logger->set_formatter(MakeFormatter(config.log_json));
  logger->set_level(spdlog::level::from_str(config.log_level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

}  // namespace lisafs
