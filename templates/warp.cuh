#pragma once

#include "memory.cuh"

// What lanes of a warp, and kernels of a stream, tell each other. On the host neither exists: the
// executor in rope.cu carries the exchange out, one phase of all lanes after the other.

ROPE_CONSTANT u32 kWarpLanes() { return 32; }
ROPE_CONSTANT u32 kHalfWarp() { return kWarpLanes() / 2; }  // from a lane to its partner

#if defined(__CUDA_ARCH__)
// What the partner gives here is what this lane gave there. All lanes of the warp take part.
template <int kBytes>
ROPE_DEVICE Words<kBytes> exchange(const Words<kBytes>& sent) {
  Words<kBytes> received;
#pragma unroll
  for (int i = 0; i < (kBytes + 3) / 4; ++i) {
    received.word[i] = __shfl_xor_sync(0xffffffffu, sent.word[i], kHalfWarp());
  }
  return received;
}
#endif

// Programmatic dependent launch (PTX ISA, griddepcontrol; sm_90 and later). Both are without effect
// where the launch does not ask for it.

// Returns when the kernels that this one depends on have finished and their writes can be seen.
// Every thread calls it, so that the kernel's end implies theirs.
ROPE_DEVICE void wait_for_kernels_ahead() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the kernel behind this one start once all blocks have come here.
ROPE_DEVICE void release_kernel_behind() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
