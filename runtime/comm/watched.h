// A communicator whose calls the lifeline knows of: a rank that is in one waits for others, and may do so for long.
#pragma once
#include "runtime/comm/lifeline.h"

namespace mome {

class WatchedCommunicator : public Communicator {
 public:
  /// The lifeline outlives this.
  WatchedCommunicator(std::unique_ptr<Communicator> engine, Lifeline& lifeline)
      : Communicator(engine->device()), engine_(std::move(engine)), lifeline_(lifeline) {}

  int rank() const override { return engine_->rank(); }
  int size() const override { return engine_->size(); }
  void all_reduce(void* data, int64_t count, DType dtype, Reduction op) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->all_reduce(data, count, dtype, op);
  }
  void reduce_scatter(const void* from, void* to, int64_t count, DType dtype) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->reduce_scatter(from, to, count, dtype);
  }
  void all_gather(const void* from, void* to, size_t bytes) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->all_gather(from, to, bytes);
  }
  void all_gather_v(const void* from, void* to, std::span<const size_t> bytes) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->all_gather_v(from, to, bytes);
  }
  void broadcast(void* data, size_t bytes, int root) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->broadcast(data, bytes, root);
  }
  void exchange(std::span<const Message> sends, std::span<const Message> receives) override {
    Lifeline::Waiting w(&lifeline_);
    engine_->exchange(sends, receives);
  }
  void barrier() override {
    Lifeline::Waiting w(&lifeline_);
    engine_->barrier();
  }
  std::vector<std::vector<char>> gather_host(std::span<const char> mine) override {
    Lifeline::Waiting w(&lifeline_);
    return engine_->gather_host(mine);
  }
  /// The engine's own: a duplicate's calls are made beside the main thread, whose waits for them are told by waiting().
  std::unique_ptr<Communicator> duplicate() override { return engine_->duplicate(); }
  void waiting(const std::function<void()>& wait) override {
    Lifeline::Waiting w(&lifeline_);
    wait();
  }

 private:
  std::unique_ptr<Communicator> engine_;
  Lifeline& lifeline_;
};

}  // namespace mome
