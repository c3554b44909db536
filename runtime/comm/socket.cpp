#include "runtime/comm/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>

namespace mome {
namespace {

constexpr uint32_t kMagic = 0x656d6f6d;  // "mome"
constexpr uint32_t kLongest = 1 << 20;   // bytes of a frame

struct Header {
  uint32_t magic, type, bytes;
};

int milliseconds(double seconds) {
  return int(std::min(1e6, std::ceil(std::max(0.0, seconds) * 1e3)));
}

void prepare(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

bool poll_one(int fd, short events, Clock::time_point deadline) {
  while (true) {
    pollfd p{fd, events, 0};
    const int ready = poll(&p, 1, milliseconds(seconds_until(deadline)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Clock::time_point after(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}
double seconds_until(Clock::time_point then) {
  return std::max(0.0, std::chrono::duration<double>(then - Clock::now()).count());
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Socket listen_on(uint16_t port) {
  // One IPv6 socket takes both kinds of addresses; a kernel without IPv6 has the other.
  for (int family : {AF_INET6, AF_INET}) {
    Socket s(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!s) continue;
    const int on = 1, off = 0;
    setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int bound = -1;
    if (family == AF_INET6) {
      setsockopt(s.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_port = htons(port);
      bound = bind(s.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    } else {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      bound = bind(s.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
    if (bound == 0 && listen(s.fd(), SOMAXCONN) == 0) return s;
    if (errno == EADDRINUSE || errno == EACCES) break;  // the other family has no better answer
  }
  return Socket();
}

uint16_t port_of(const Socket& listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

Socket accept_from(const Socket& listener) {
  Socket s(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (s) prepare(s.fd());
  return s;
}

Socket connect_to(const std::string& host, uint16_t port, Clock::time_point deadline,
                  std::string& why) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int unknown = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (unknown != 0) {
    why = gai_strerror(unknown);
    return Socket();
  }
  Socket connected;
  for (const addrinfo* a = list; a && !connected; a = a->ai_next) {
    Socket s(socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!s) continue;
    int error = connect(s.fd(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      socklen_t length = sizeof error;
      if (!poll_one(s.fd(), POLLOUT, deadline))
        error = ETIMEDOUT;
      else
        getsockopt(s.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    }
    if (error == 0) {
      prepare(s.fd());
      connected = std::move(s);
    } else {
      why = std::strerror(error);
    }
  }
  freeaddrinfo(list);
  return connected;
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> addresses, loopback;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {"127.0.0.1"};
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (i->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(i->ifa_addr)->sin_addr, text, sizeof text);
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<sockaddr_in6*>(i->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;  // means nothing without an interface's name
      inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    if (*text) (i->ifa_flags & IFF_LOOPBACK ? loopback : addresses).emplace_back(text);
  }
  freeifaddrs(list);
  addresses.insert(addresses.end(), loopback.begin(), loopback.end());
  return addresses;
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = "";
  return gethostname(name, sizeof name - 1) == 0 && *name ? name : "unknown host";
}

// Takes in what has come.
Link::State Link::fill() {
  if (!socket_) return State::kClosed;
  char part[4096];
  while (in_.size() <= 2 * kLongest) {  // more comes at the next call
    const ssize_t got = recv(socket_.fd(), part, sizeof part, 0);
    if (got > 0)
      in_.append(part, size_t(got));
    else if (got == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK))
      return State::kClosed;
    else if (errno != EINTR)
      break;
  }
  return State::kOpen;
}

// Takes the first frame out of what came; true where there is a whole one.
bool Link::take(Frame& frame, bool& nonsense) {
  Header header;
  if (in_.size() < sizeof header) return false;
  std::memcpy(&header, in_.data(), sizeof header);
  nonsense = header.magic != kMagic || header.bytes > kLongest;
  if (nonsense || in_.size() - sizeof header < header.bytes) return false;
  frame = {header.type, in_.substr(sizeof header, header.bytes)};
  in_.erase(0, sizeof header + header.bytes);
  return true;
}

Link::State Link::receive(std::vector<Frame>& frames) {
  const State state = fill();
  bool nonsense = false;
  for (Frame frame; take(frame, nonsense);) frames.push_back(frame);
  return nonsense ? State::kNonsense : state;
}

Link::State Link::receive_one(Frame& frame, Clock::time_point deadline) {
  while (true) {
    const State state = fill();
    bool nonsense = false;
    if (take(frame, nonsense)) return State::kOpen;
    if (nonsense) return State::kNonsense;
    if (state != State::kOpen || !poll_one(fd(), POLLIN, deadline)) return State::kClosed;
  }
}

bool Link::send(uint32_t type, std::string_view body, Clock::time_point deadline) {
  const Header header{kMagic, type, uint32_t(body.size())};
  std::string out(sizeof header, '\0');
  std::memcpy(out.data(), &header, sizeof header);
  out += body;
  for (size_t at = 0; at < out.size();) {
    const ssize_t sent =
        socket_ ? ::send(socket_.fd(), out.data() + at, out.size() - at, MSG_NOSIGNAL) : -1;
    if (sent > 0) {
      at += size_t(sent);
    } else if (!socket_ || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) ||
               !poll_one(socket_.fd(), POLLOUT, deadline)) {
      return false;
    }
  }
  return true;
}

void Link::finish(Clock::time_point deadline) {
  if (!socket_) return;
  shutdown(socket_.fd(), SHUT_WR);
  char part[4096];
  while (true) {
    const ssize_t got = recv(socket_.fd(), part, sizeof part, 0);
    if (got > 0 || (got < 0 && errno == EINTR)) continue;
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) ||
        !poll_one(socket_.fd(), POLLIN, deadline))
      break;
  }
  close();
}

void wait_readable(const std::vector<int>& descriptors, double seconds) {
  std::vector<pollfd> polled;
  for (int fd : descriptors)
    if (fd >= 0) polled.push_back({fd, POLLIN, 0});
  poll(polled.data(), polled.size(), milliseconds(seconds));
}

}  // namespace mome
