#ifndef ROPEJIT_SPEC_H_
#define ROPEJIT_SPEC_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ropejit {

/// Element type of q and k. The arithmetic is float32 for all of them.
enum class Dtype { float32, float16, bfloat16 };

/// Which elements of the rotary part form a pair.
enum class Layout {
  interleaved,  ///< (2i, 2i+1): GPT-J, Cohere, GLM, DeepSeek, Meta's own Llama weights
  sequential,   ///< (i, i + rotary_dim/2): GPT-NeoX and the Hugging Face Llama, Mistral, Qwen,
                ///< Gemma, Phi
};

/// Where a token's position comes from. All but `offset` are read on the device when the kernel
/// runs, so a CUDA graph that is replayed after they changed gives the new result.
enum class PositionMode {
  offset,            ///< token s of every sequence sits at RopeArgs::offset + s
  sequence_offsets,  ///< token s of sequence b sits at positions[b] + s
  token_ids,         ///< token s of sequence b sits at positions[b * position_stride_batch + s]
  ragged,            ///< flat tokens; sequence b holds tokens cu_seqlens[b] to cu_seqlens[b+1] - 1
};

/// Integer type of `positions` and `cu_seqlens` on the device.
enum class IndexType { int32, int64 };

/// Where cosine and sine come from.
enum class AngleSource {
  exact,  ///< 64-bit fixed-point phase from Frequencies: right at any position, no table
  table,  ///< rows of a float32 cosine and sine table that the caller owns
};

/// Sense of the rotation. `inverse` turns by the negated angle with the same attention factor: it
/// is the transpose of `forward`, hence its backward pass, and undoes it when the factor is 1.
enum class Direction { forward, inverse };

/// What is computed: all that shapes the generated code. Plain data; compare, copy and store it
/// freely.
struct RopeSpec {
  int head_dim = 0;  ///< elements per head; even, 2 to 1024
  int rotary_dim =
      0;  ///< leading elements that rotate; even, 2 to head_dim; 0: all. The rest passes through
  Dtype dtype = Dtype::bfloat16;
  Layout layout = Layout::sequential;
  int q_heads = 0;   ///< 1 to 512
  int kv_heads = 0;  ///< 1 to 512; need not divide q_heads
  PositionMode positions = PositionMode::offset;
  IndexType index_type = IndexType::int32;  ///< ignored by PositionMode::offset
  AngleSource angles = AngleSource::exact;
  Direction direction = Direction::forward;
  /// Bytes (2, 4, 8, 16 or 32; at least one element) that divide every base address and stride of
  /// the calls to come, whose heads have no gaps; of a table, up to 16 and as far as they
  /// divide rotary_dim / 2 floats. A call that keeps the promise takes the wide kernel; one that
  /// does not is still right: it takes a kernel that accesses single elements.
  int alignment = 16;

  int rotary() const noexcept { return rotary_dim == 0 ? head_dim : rotary_dim; }
  bool operator==(const RopeSpec&) const = default;
};

/// Throws Error(invalid_argument) that names the first field that breaks its rule. Thread-safe.
void validate(const RopeSpec& spec);

/// Bytes per element: 4, 2, 2.
constexpr std::size_t size_of(Dtype dtype) noexcept { return dtype == Dtype::float32 ? 4 : 2; }
/// Bytes per index: 4, 8.
constexpr std::size_t size_of(IndexType type) noexcept { return type == IndexType::int32 ? 4 : 8; }

/// The names that ropejit prints and that spec files use, as spelled in the enums above.
std::string_view name(Dtype value) noexcept;
std::string_view name(Layout value) noexcept;
std::string_view name(PositionMode value) noexcept;
std::string_view name(IndexType value) noexcept;
std::string_view name(AngleSource value) noexcept;
std::string_view name(Direction value) noexcept;

/// The inverse of name(), in any case and with `-` for `_`. Also accepted: the field's other
/// spellings (README.md has the list). dtype: `fp16`, `half`, `bf16`, `torch.bfloat16`, ...;
/// layout: `gptj`, `adjacent`, `complex` for interleaved, `neox`, `rotate_half`, `half` for
/// sequential, ... As flags, vLLM's is_neox_style and ggml's NEOX mean sequential; flash-attn's and
/// ONNX Runtime's interleaved, FlashInfer's interleave and Megatron's rotary_interleaved mean
/// interleaved. Paddle's use_neox_rotary_style is inverted: true means interleaved. Throws
/// Error(invalid_argument) that names `field`, the text, the accepted values and the nearest
/// spelling.
Dtype parse_dtype(std::string_view text, std::string_view field = "dtype");
Layout parse_layout(std::string_view text, std::string_view field = "layout");
PositionMode parse_position_mode(std::string_view text, std::string_view field = "positions");
IndexType parse_index_type(std::string_view text, std::string_view field = "index_type");
AngleSource parse_angle_source(std::string_view text, std::string_view field = "angles");
Direction parse_direction(std::string_view text, std::string_view field = "direction");

/// One line for people and logs, such as
/// `d128 r128 bfloat16 sequential q32 kv8 offset exact forward a16`.
std::string describe(const RopeSpec& spec);

}  // namespace ropejit

#endif  // ROPEJIT_SPEC_H_
