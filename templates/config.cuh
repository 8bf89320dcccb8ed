#pragma once

// What one kernel is specialised on. ropejit replaces this file, and only this one, by generated
// text with the same constants; the values here are an example, so that nvcc, clangd and
// clang-format can work on rope.cu as on any other file.

#include "names.cuh"

ROPE_CONSTANT Dtype kDtype() { return Dtype::bfloat16; }
ROPE_CONSTANT Layout kLayout() { return Layout::sequential; }
ROPE_CONSTANT PositionMode kPositions() { return PositionMode::offset; }
ROPE_CONSTANT int kIndexBytes() { return 4; }  // of positions and cu_seqlens: 4 or 8
ROPE_CONSTANT AngleSource kAngles() { return AngleSource::exact; }
ROPE_CONSTANT Direction kDirection() { return Direction::forward; }
ROPE_CONSTANT int kHeadDim() { return 128; }
ROPE_CONSTANT int kRotaryDim() { return 128; }
ROPE_CONSTANT int kQHeads() { return 32; }
ROPE_CONSTANT int kKvHeads() { return 8; }
// Of one access to the rotary part, and to the part that passes through; divide every address
// there.
ROPE_CONSTANT int kRotaryBytes() { return 16; }
ROPE_CONSTANT int kPassBytes() { return 16; }
// Divides every address of a row of cosines or sines: 4, 8 or 16.
ROPE_CONSTANT int kTableBytes() { return 16; }
ROPE_CONSTANT Pairing kPairing() { return Pairing::exchange; }
ROPE_CONSTANT int kHeadsPerThread() { return 2; }
ROPE_CONSTANT bool kStreamingStores() { return false; }
ROPE_CONSTANT int kMostBlockThreads() { return 512; }  // of a launch
ROPE_CONSTANT bool kRotate() { return true; }  // false: the rotation-free twin, which copies
