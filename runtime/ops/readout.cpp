#include "runtime/ops/readout.h"

namespace mome {

Readout::~Readout() {
  for (const auto& b : blocks_) arena_.release(b->device);
}

Readout::Place Readout::place() {
  if (blocks_.empty() || blocks_.back()->used == kSlots) {
    blocks_.push_back(std::make_unique<Block>());
    Block& fresh = *blocks_.back();
    fresh.device = arena_.allocate(sizeof fresh.host);
    arena_.device().zero(fresh.device, sizeof fresh.host);
  }
  Block& b = *blocks_.back();
  b.read = false;
  const size_t offset = b.used++ * kSlotBytes;
  return {static_cast<std::byte*>(b.device) + offset, b.host + offset, &b.read};
}

void Readout::read() {
  for (const auto& b : blocks_) {
    arena_.device().download(b->host, b->device, b->used * kSlotBytes);
    b->read = true;
  }
}

}  // namespace mome
