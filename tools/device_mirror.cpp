#include "tools/device_mirror.h"

#include <fmt/format.h>

#include <cstdint>

#include "ropejit/error.h"

namespace ropejit {
namespace {

/// Moves `pointer` from a block to the same place of its copy.
template <class Value>
void move_to_copy(Value*& pointer, std::span<const Block> blocks,
                  std::span<const DeviceBuffer> copies) {
  if (pointer == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(blocks[i].data());
    if (offset >= blocks[i].size()) continue;
    const auto base = reinterpret_cast<std::uintptr_t>(copies[i].data());
    pointer = reinterpret_cast<Value*>(base + offset);
    return;
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: not in a block of the case", fmt::ptr(pointer)));
}

}  // namespace

DeviceMirror::DeviceMirror(const Device& device, std::span<const Block> blocks) : device_(device) {
  for (const Block& block : blocks) copies_.push_back(device.allocate(block.size()));
  upload(blocks);
}

void DeviceMirror::upload(std::span<const Block> blocks) const {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    device_.copy_to_device(copies_[i].data(), blocks[i].data(), blocks[i].size());
  }
  device_.synchronize();  // a copy from pageable memory may still be under way
}

void DeviceMirror::download(std::span<Block> blocks) const {
  device_.synchronize();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    device_.copy_to_host(blocks[i].data(), copies_[i].data(), blocks[i].size());
  }
}

RopeArgs DeviceMirror::translate(const RopeArgs& args, std::span<const Block> blocks) const {
  RopeArgs moved = args;
  for (Tensor* tensor : {&moved.q, &moved.q_out, &moved.k, &moved.k_out}) {
    move_to_copy(tensor->data, blocks, copies_);
  }
  move_to_copy(moved.positions, blocks, copies_);
  move_to_copy(moved.cu_seqlens, blocks, copies_);
  move_to_copy(moved.table.cos, blocks, copies_);
  move_to_copy(moved.table.sin, blocks, copies_);
  return moved;
}

}  // namespace ropejit
