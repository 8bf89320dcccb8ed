#pragma once

// The values that the constants of config.cuh take. The generator prints these names.
enum class Dtype { float32, float16, bfloat16 };
enum class Layout { interleaved, sequential };
enum class PositionMode { offset, sequence_offsets, token_ids, ragged };
enum class AngleSource { exact, table };
enum class Direction { forward, inverse };
enum class Pairing { registers, exchange };
