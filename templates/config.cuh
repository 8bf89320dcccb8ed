#pragma once

// What one kernel is specialised on. ropejit replaces this file, and only this one, by generated
// text with the same constants; the values here are an example, so that nvcc, clangd and
// clang-format can work on rope.cu as on any other file.

#include "names.cuh"

constexpr Dtype kDtype = Dtype::bfloat16;
constexpr Layout kLayout = Layout::sequential;
constexpr PositionMode kPositions = PositionMode::offset;
constexpr int kIndexBytes = 4;  // of positions and cu_seqlens: 4 or 8
constexpr AngleSource kAngles = AngleSource::exact;
constexpr Direction kDirection = Direction::forward;
constexpr int kHeadDim = 128;
constexpr int kRotaryDim = 128;
constexpr int kQHeads = 32;
constexpr int kKvHeads = 8;
constexpr int kRotaryBytes = 16;  // of one access to the rotary part; divides every address of it
constexpr int kPassBytes = 16;    // likewise for the part that passes through
constexpr Pairing kPairing = Pairing::exchange;
constexpr int kHeadsPerThread = 2;
constexpr bool kStreamingStores = false;
constexpr int kMostBlockThreads = 512;  // of a launch
constexpr bool kRotate = true;          // false: the rotation-free twin, which copies
