// Load on an HTTP/1.1 server from one thread: open loop (Poisson arrivals at a rate, each request timed from the moment
// at which it was meant to be sent, whether or not a connection was free then) or, with rate 0, closed loop.
//
//   load HOST PORT PATH BODY RATE SECONDS CONNECTIONS [WARM_UP_S [SEED [HEADER...]]]
//
// Prints one JSON object: sent, answered, real, defaults by reason, statuses, errors, latencies in us. Requests meant
// to be sent in the warm-up are sent and not counted. Standard library and Linux alone: bench/serve/client.py compiles
// it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

constexpr std::chrono::seconds kPatience{10};  // for the last answers

struct Options {
  std::string host, path, body;
  std::uint16_t port = 0;
  double rate = 0, seconds = 0, warm_up = 0;
  int connections = 0;
  std::uint64_t seed = 1;
  std::vector<std::string> headers;
};

struct Tally {
  std::uint64_t sent = 0, answered = 0, real = 0, errors = 0;
  std::map<std::string, std::uint64_t> defaults, statuses;
  std::vector<float> all_us, real_us;
};

struct Connection {
  int fd = -1;
  bool busy = false;
  bool counted = false;
  Time intended;
  std::string in;
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// The value of a header in a head whose names are in any case.
std::string header(std::string_view head, std::string_view name) {
  for (std::size_t at = 0; (at = head.find("\r\n", at)) != head.npos;) {
    at += 2;
    if (at + name.size() >= head.size() || head[at + name.size()] != ':') continue;
    if (!std::equal(name.begin(), name.end(), head.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, char b) { return lower(a) == lower(b); }))
      continue;
    std::size_t from = at + name.size() + 1;
    while (from < head.size() && head[from] == ' ') ++from;
    return std::string(head.substr(from, head.find("\r\n", from) - from));
  }
  return {};
}

// How many bytes the answer at the front has; 0: it is not whole yet. `body` is what it says (chunked: with the chunks'
// heads).
std::size_t answer_size(std::string_view in, std::string_view& head, std::string_view& body) {
  const std::size_t end = in.find("\r\n\r\n");
  if (end == in.npos) return 0;
  head = in.substr(0, end + 2);
  const std::size_t from = end + 4;
  std::size_t size = 0;
  if (const std::string length = header(head, "content-length"); !length.empty()) {
    size = from + std::strtoull(length.c_str(), nullptr, 10);
  } else if (header(head, "transfer-encoding") == "chunked") {
    const std::size_t last = in.find("0\r\n\r\n", from);
    if (last == in.npos) return 0;
    size = last + 5;
  } else {
    size = from;
  }
  if (in.size() < size) return 0;
  body = in.substr(from, size - from);
  return size;
}

// Clipper's answers say "default": true and why.
bool is_default(std::string_view body, std::string& reason) {
  std::size_t at = body.find("\"default\":");
  if (at == body.npos) return false;
  at += 10;
  while (at < body.size() && body[at] == ' ') ++at;
  if (!body.substr(at).starts_with("true")) return false;
  constexpr std::string_view kReason = "\"default_explanation\":\"";
  const std::size_t from = body.find(kReason);
  reason = from == body.npos
               ? "?"
               : body.substr(from + kReason.size(), body.find('"', from + kReason.size()) - from - kReason.size());
  return true;
}

class Load {
 public:
  explicit Load(Options options)
      : options_(std::move(options)), random_(options_.seed), gap_(std::max(options_.rate, 1e-9)) {
    request_ = "POST " + options_.path + " HTTP/1.1\r\nHost: " + options_.host + ":" + std::to_string(options_.port) +
               "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(options_.body.size()) + "\r\n";
    for (const std::string& line : options_.headers) request_ += line + "\r\n";
    request_ += "\r\n" + options_.body;
    epoll_ = ::epoll_create1(0);
    connections_.resize(static_cast<std::size_t>(options_.connections));
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      open(i);
      free_.push_back(i);
    }
  }

  void run() {
    ::prctl(PR_SET_TIMERSLACK, 1);
    const Time begin = Clock::now();
    counted_from_ = begin + seconds(options_.warm_up);
    end_ = counted_from_ + seconds(options_.seconds);
    next_ = begin;
    for (;;) {
      const Time now = Clock::now();
      arrive(now);
      dispatch();
      if (now >= end_ && waiting_.empty() && busy_ == 0) break;
      if (now >= end_ + kPatience) break;
      listen(now);
    }
  }

  void print() {
    std::printf(
        "{\"sent\": %lu, \"answered\": %lu, \"real\": %lu, \"errors\": %lu, \"unanswered\": %lu, \"seconds\": %g",
        tally_.sent, tally_.answered, tally_.real, tally_.errors, tally_.sent - tally_.answered - tally_.errors,
        options_.seconds);
    print_map("defaults", tally_.defaults);
    print_map("statuses", tally_.statuses);
    print_times("latency_us", tally_.all_us);
    print_times("real_latency_us", tally_.real_us);
    std::printf(", \"seed\": %lu}\n", options_.seed);
  }

 private:
  static Clock::duration seconds(double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  }

  void open(std::size_t i) {
    Connection& connection = connections_[i];
    if (connection.fd >= 0) ::close(connection.fd);
    connection = {};
    connection.fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(options_.port);
    if (::inet_pton(AF_INET, options_.host.c_str(), &to.sin_addr) != 1 ||
        ::connect(connection.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      std::fprintf(stderr, "load: cannot connect to %s:%u: %s\n", options_.host.c_str(), options_.port,
                   std::strerror(errno));
      std::exit(1);
    }
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  }

  // Requests whose moment has come.
  void arrive(Time now) {
    if (options_.rate <= 0) {
      for (std::size_t i = waiting_.size(); now < end_ && i < free_.size(); ++i) intend(now);
      return;
    }
    for (; next_ <= now && next_ < end_; next_ += seconds(gap_(random_))) intend(next_);
  }
  void intend(Time at) {
    waiting_.push_back(at);
    tally_.sent += at >= counted_from_;
  }

  void dispatch() {
    while (!waiting_.empty() && !free_.empty()) {
      const std::size_t i = free_.front();
      free_.pop_front();
      Connection& connection = connections_[i];
      connection.intended = waiting_.front();
      connection.counted = connection.intended >= counted_from_;
      connection.busy = true;
      waiting_.pop_front();
      ++busy_;
      if (::send(connection.fd, request_.data(), request_.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request_.size()))
        failed(i);
    }
  }

  void listen(Time now) {
    epoll_event events[256];
    const Time until = options_.rate > 0 && next_ < end_ ? next_ : now + std::chrono::milliseconds(10);
    const auto wait = std::max<std::int64_t>(0, std::chrono::nanoseconds(until - now).count());
    const timespec timeout{wait / 1'000'000'000, wait % 1'000'000'000};
    const int count = ::epoll_pwait2(epoll_, events, 256, &timeout, nullptr);
    for (int k = 0; k < count; ++k) hear(static_cast<std::size_t>(events[k].data.u64));
  }

  void hear(std::size_t i) {
    Connection& connection = connections_[i];
    char bytes[16 * 1024];
    const ssize_t got = ::recv(connection.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return failed(i);
    connection.in.append(bytes, static_cast<std::size_t>(got));
    std::string_view head, body;
    const std::size_t size = answer_size(connection.in, head, body);
    if (size == 0) return;
    if (connection.counted) count(connection, head, body);
    const bool closes = header(head, "connection") == "close";
    connection.in.erase(0, size);
    connection.busy = false;
    --busy_;
    if (closes) open(i);
    free_.push_back(i);
  }

  void count(const Connection& connection, std::string_view head, std::string_view body) {
    const float us = std::chrono::duration<float, std::micro>(Clock::now() - connection.intended).count();
    ++tally_.answered;
    tally_.all_us.push_back(us);
    const std::string status(head.substr(9, 3));
    ++tally_.statuses[status];
    std::string reason;
    if (is_default(body, reason)) {
      ++tally_.defaults[reason];
    } else if (status == "200") {
      ++tally_.real;
      tally_.real_us.push_back(us);
    }
  }

  void failed(std::size_t i) {
    if (connections_[i].busy) {
      tally_.errors += connections_[i].counted;
      --busy_;
      open(i);
      free_.push_back(i);
    } else {
      open(i);  // closed while idle: nobody's request is lost
    }
  }

  static void print_map(const char* name, const std::map<std::string, std::uint64_t>& map) {
    std::printf(", \"%s\": {", name);
    const char* comma = "";
    for (const auto& [key, value] : map) {
      std::printf("%s\"%s\": %lu", comma, key.c_str(), value);
      comma = ", ";
    }
    std::printf("}");
  }
  static void print_times(const char* name, std::vector<float>& times) {
    std::ranges::sort(times);
    const auto at = [&](double share) {
      if (times.empty()) return 0.0;
      return static_cast<double>(
          times[std::min(times.size() - 1, static_cast<std::size_t>(share * static_cast<double>(times.size())))]);
    };
    std::printf(", \"%s\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}", name, at(0.5), at(0.99),
                at(0.999), at(1));
  }

  const Options options_;
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_;
  std::string request_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::deque<std::size_t> free_;
  std::deque<Time> waiting_;  // when they were meant to be sent
  int busy_ = 0;
  Time counted_from_, end_, next_;
  Tally tally_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) {
    std::fprintf(stderr, "load HOST PORT PATH BODY RATE SECONDS CONNECTIONS [WARM_UP_S [SEED [HEADER...]]]\n");
    return 2;
  }
  Options options;
  options.host = argv[1];
  options.port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  options.path = argv[3];
  options.body = argv[4];
  options.rate = std::atof(argv[5]);
  options.seconds = std::atof(argv[6]);
  options.connections = std::clamp(std::atoi(argv[7]), 1, 10'000);
  if (argc > 8) options.warm_up = std::atof(argv[8]);
  if (argc > 9) options.seed = std::strtoull(argv[9], nullptr, 10);
  for (int i = 10; i < argc; ++i) options.headers.emplace_back(argv[i]);
  Load load(std::move(options));
  load.run();
  load.print();
}
