// Two "hosts" on this machine: network namespaces with a cable between them that can be cut. For
// root.
#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace mome::testing {

class NetworkNamespaces {
 public:
  static constexpr const char* kAddress[] = {"10.77.0.1", "10.77.0.2"};

  NetworkNamespaces() {
    good_ = geteuid() == 0 && ip("netns add {0}") && ip("netns add {1}") &&
            ip("link add eth0 netns {0} type veth peer name eth0 netns {1}");
    for (int host = 0; host < 2; ++host) {
      const std::string in = fmt::format("-n {} ", name(host));
      good_ = good_ && ip(in + fmt::format("addr add {}/24 dev eth0", kAddress[host])) &&
              ip(in + "link set eth0 up") && ip(in + "link set lo up");
    }
  }
  ~NetworkNamespaces() {
    for (int host = 0; host < 2; ++host) ip(fmt::format("netns del {}", name(host)));
  }
  NetworkNamespaces(const NetworkNamespaces&) = delete;

  /// False: this process may not make them.
  bool good() const { return good_; }
  /// The calling process (one thread) moves to host 0 or 1.
  bool enter(int host) const {
    const int fd = open(("/run/netns/" + name(host)).c_str(), O_RDONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (fd >= 0) close(fd);
    return entered;
  }
  /// What `ip netns` calls host 0 or 1.
  std::string name(int host) const { return fmt::format("mome{}h{}", pid_, host); }
  /// The cable is out. Nobody's connection is closed by that.
  void cut() const { ip("-n {1} link set eth0 down"); }

 private:
  bool ip(const std::string& arguments) const {
    return std::system(("PATH=$PATH:/usr/sbin ip " +
                        fmt::format(fmt::runtime(arguments), name(0), name(1)) + " 2> /dev/null")
                           .c_str()) == 0;
  }
  const int pid_ = getpid();
  bool good_ = false;
};

}  // namespace mome::testing
