// Figures that operations leave on the device (losses, counts) and that the host wants at the end of a step: each has a
// slot of device memory, and one read() brings them all, after the work that computes them has been given to the queue.
// Reading each figure where it arises would make the host wait for the device at every loss.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/core/arena.h"

namespace mome {

class Readout {
 public:
  explicit Readout(Arena& arena) : arena_(arena) {}
  ~Readout();
  Readout(const Readout&) = delete;

  /// A place for one R, zero until an operation writes to it.
  template <class R>
  class Slot {
   public:
    R* device() const { return device_; }
    /// The value as of the last read(); only after one.
    const R& operator*() const {
      MOME_CHECK(host_ && *read_);
      return *host_;
    }
    const R* operator->() const { return &**this; }
    explicit operator bool() const { return device_ != nullptr; }

   private:
    friend class Readout;
    R* device_ = nullptr;
    const R* host_ = nullptr;
    const bool* read_ = nullptr;
  };
  template <class R>
  Slot<R> slot() {
    static_assert(sizeof(R) <= kSlotBytes && std::is_trivially_copyable_v<R>);
    const Place p = place();
    Slot<R> s;
    s.device_ = static_cast<R*>(p.device);
    s.host_ = static_cast<const R*>(p.host);
    s.read_ = p.read;
    return s;
  }

  /// Waits for the device's work so far and takes the values of all slots.
  void read();

 private:
  static constexpr size_t kSlotBytes = 32, kSlots = 64;
  struct Block {
    void* device = nullptr;
    bool read = false;
    size_t used = 0;
    alignas(16) std::byte host[kSlots * kSlotBytes] = {};
  };
  struct Place {
    void* device;
    const void* host;
    const bool* read;
  };
  Place place();

  Arena& arena_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace mome
