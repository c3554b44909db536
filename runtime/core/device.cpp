#include "runtime/core/device.h"

#include <cstdlib>
#include <new>

namespace mome {

Device& Device::host() {
  static Device device;
  return device;
}

std::unique_ptr<Device> Device::simt(const simt::Options& options) {
  std::unique_ptr<Device> d(new Device);
  d->kind_ = DeviceKind::kSimt;
  d->name_ = "simt";
  d->simt_ = std::make_unique<simt::Queue>(options);
  d->simt_side_ = std::make_unique<simt::Queue>(options);
  return d;
}

std::unique_ptr<Device> Device::open(const std::string& name) {
  if (name == "cpu") return std::unique_ptr<Device>(new Device);
  if (name == "simt") return simt({});
  if (name == "cuda" || name.starts_with("cuda:")) {
#if defined(MOME_WITH_CUDA)
    std::unique_ptr<Device> d(new Device);
    d->kind_ = DeviceKind::kCuda;
    d->name_ = name;
    const std::string number = name.size() > 5 ? name.substr(5) : "0";
    if (number.find_first_not_of("0123456789") != std::string::npos || number.size() > 4)
      throw UsageError(fmt::format("--device {}: expected cuda or cuda:N with a GPU's number", name));
    d->cuda_ = std::make_unique<cuda::Queue>(std::stoi(number));
    d->cuda_side_ = std::make_unique<cuda::Queue>(std::stoi(number));
    return d;
#else
    fail("--device {}: this program was built without CUDA; build the preset cuda, or use cpu or simt", name);
#endif
  }
  throw UsageError(fmt::format("--device {} is unknown; expected cpu, cuda, cuda:N or simt", name));
}

Device::~Device() = default;

void* Device::allocate(size_t bytes) {
  if (!is_host()) return on_queue([&](auto& q) -> void* {
    if constexpr (requires { q.allocate(bytes); }) return q.allocate(bytes);
    return nullptr;
  });
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) throw std::bad_alloc();
  return p;
}
void Device::release(void* block) {
  if (is_host()) return std::free(block);
  on_queue([&](auto& q) {
    if constexpr (requires { q.release(block); }) q.release(block);
  });
}
void Device::copy(void* to, const void* from, size_t bytes) {
  on_queue([&](auto& q) { q.copy(to, from, bytes); });
}
void Device::upload(void* to, const void* host, size_t bytes) {
  on_queue([&](auto& q) { q.upload(to, host, bytes); });
}
void Device::download(void* host, const void* from, size_t bytes) {
  on_queue([&](auto& q) { q.download(host, from, bytes); });
}
void Device::zero(void* to, size_t bytes) {
  on_queue([&](auto& q) { q.fill(to, 0, bytes); });
}
void Device::synchronize() {
  on_queue([](auto& q) { q.synchronize(); });
}

}  // namespace mome
