// TCP as the ranks' meeting and their lifeline use it: sockets that never block, and links that
// carry small frames.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mome {

using Clock = std::chrono::steady_clock;
Clock::time_point after(double seconds);
/// Seconds until then; not below 0.
double seconds_until(Clock::time_point then);

/// Owns a file descriptor.
class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept { return std::swap(fd_, other.fd_), *this; }
  ~Socket();
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Listens on all of this machine's addresses; port 0: any free one. Empty with errno set where
/// that cannot be.
Socket listen_on(uint16_t port);
uint16_t port_of(const Socket& listener);
/// The next one who waits; empty when nobody does.
Socket accept_from(const Socket& listener);
/// Empty, with the reason, where nobody answers until `deadline`.
Socket connect_to(const std::string& host, uint16_t port, Clock::time_point deadline,
                  std::string& why);
/// This machine's addresses as others may use them, loopback last.
std::vector<std::string> own_addresses();
std::string host_name();

struct Frame {
  uint32_t type;
  std::string body;
};

/// A connection that carries frames. Whoever sends something else is a stranger.
class Link {
 public:
  explicit Link(Socket socket) : socket_(std::move(socket)) {}

  enum class State : uint8_t { kOpen, kClosed, kNonsense };
  /// Adds the frames that have come since, without waiting. The state is what came after them.
  State receive(std::vector<Frame>& frames);
  /// Waits for the next frame; those behind it are kept for later.
  State receive_one(Frame& frame, Clock::time_point deadline);
  /// False where the frame was not taken until `deadline`; then this link is of no more use.
  bool send(uint32_t type, std::string_view body, Clock::time_point deadline);
  int fd() const { return socket_.fd(); }
  void close() { socket_ = Socket(); }
  /// Sends nothing more and waits until the other end has closed: a close with something left
  /// unread would make the kernel drop what was sent last.
  void finish(Clock::time_point deadline);

 private:
  State fill();
  bool take(Frame& frame, bool& nonsense);

  Socket socket_;
  std::string in_;
};

/// Waits until one of them can be read, at most `seconds`. Negative descriptors are passed over.
void wait_readable(const std::vector<int>& descriptors, double seconds);

}  // namespace mome
