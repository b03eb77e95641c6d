#include "control/top_command.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace lisafs {
namespace {

namespace v1 = control::v1;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::atomic<bool> interrupted = false;

void Interrupt(int) { interrupted = true; }

// A terminal that this program has to itself, until it goes: another screen, and keys as they are pressed.
class Screen {
 public:
  static bool IsPossible() { return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO); }

  Screen() {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    struct sigaction action {};
    action.sa_handler = Interrupt;
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
    Print("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    Print("\x1b[?25h\x1b[?1049l");
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;

  void Draw(const std::string& text) { Print("\x1b[H" + EndLines(text) + "\x1b[J"); }

  size_t lines() const { return size().ws_row == 0 ? 24 : size().ws_row; }
  size_t columns() const { return size().ws_col == 0 ? 80 : size().ws_col; }

  // The next key, or 0 when the time is over.
  char AwaitKey(milliseconds time) {
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    char key = 0;
    if (poll(&input, 1, static_cast<int>(time.count())) <= 0) return 0;
    // A terminal that is gone ends it.
    if (read(STDIN_FILENO, &key, 1) != 1) interrupted = true;
    return key;
  }

 private:
  // Erases what an earlier, longer line left.
  static std::string EndLines(const std::string& text) {
    std::string out;
    for (char c : text) out += c == '\n' ? "\x1b[K\n" : std::string(1, c);
    // A newline on the last line would scroll.
    if (!text.empty() && text.back() == '\n') out.pop_back();
    return out;
  }
  static winsize size() {
    winsize size{};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    return size;
  }

  termios before_{};
};

grpc::Status Ask(Stub& stub, const std::string& sandbox, v1::GetStatisticsResponse& response) {
  v1::GetStatisticsRequest request;
  request.set_sandbox_id(sandbox);
  return CallForAll(stub, &Stub::GetStatistics, request, response);
}

// False when the keys say to quit. May change the order.
bool Wait(Screen& screen, steady_clock::time_point end, TopOrder& order, const std::function<void()>& redraw) {
  while (!interrupted) {
    auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
    if (left <= milliseconds(0)) return true;
    const char key = screen.AwaitKey(left);
    if (key == 'q') return false;
    if (auto chosen = TopOrderOfKey(key)) {
      order = *chosen;
      redraw();
    }
  }
  return false;
}

grpc::Status TopOnTerminal(Stub& stub, const TopOptions& options) {
  constexpr char kHelp[] = "sort: c calls  e errors  l latency  b bytes  n name    q quit";
  v1::GetStatisticsResponse before, now;
  if (grpc::Status status = Ask(stub, options.sandbox, before); !status.ok()) return status;
  now = before;
  Screen screen;
  TopOrder order = options.order;
  auto draw = [&] { screen.Draw(TopScreen(before, now, order, screen.lines() - 1, screen.columns()) + kHelp); };
  draw();
  for (int round = 0; Wait(screen, steady_clock::now() + options.interval, order, draw);) {
    v1::GetStatisticsResponse next;
    if (grpc::Status status = Ask(stub, options.sandbox, next); !status.ok()) return status;
    before = std::exchange(now, std::move(next));
    draw();
    if (++round == options.rounds) break;
  }
  return grpc::Status::OK;
}

grpc::Status TopAsText(Stub& stub, const TopOptions& options) {
  constexpr size_t kAll = static_cast<size_t>(-1);
  v1::GetStatisticsResponse before;
  if (grpc::Status status = Ask(stub, options.sandbox, before); !status.ok()) return status;
  for (int round = 0; options.rounds == 0 || round < options.rounds; ++round) {
    std::this_thread::sleep_for(options.interval);
    v1::GetStatisticsResponse now;
    if (grpc::Status status = Ask(stub, options.sandbox, now); !status.ok()) return status;
    Print((round == 0 ? "" : "\n") + TopScreen(before, now, options.order, kAll, kAll));
    before = std::move(now);
  }
  return grpc::Status::OK;
}

}  // namespace

grpc::Status Top(Stub& stub, const TopOptions& options) {
  return Screen::IsPossible() ? TopOnTerminal(stub, options) : TopAsText(stub, options);
}

}  // namespace lisafs
