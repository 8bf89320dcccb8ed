// Rotates q and k of a decode step as a serving stack does: the model's config.json decides the
// spec, the Rope is resolved at start-up, and a step rotates both in place, inside the packed
// output of the QKV projection.
#include <ropejit/ropejit.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "check.h"
#include "device_array.h"

namespace {

ropejit::ModelRope load(const char* path) {
  ropejit::ModelRope model = ropejit::load_model(path);
  // Limits of check.h: ropejit itself takes every dtype and scaling alike.
  if (model.spec.dtype != ropejit::Dtype::bfloat16 || model.rotary.size() != 1 ||
      model.rotary[0].parameters.scaling != ropejit::Scaling::none) {
    throw std::runtime_error("this example takes bfloat16 models without scaling only");
  }
  // Each sequence of a batch has a position of its own.
  model.spec.positions = ropejit::PositionMode::sequence_offsets;
  return model;
}

ropejit::Runtime make_runtime() {
  auto options = ropejit::RuntimeOptions::from_environment();
  options.cpu_fallback = true;
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return ropejit::Runtime(options);
}

/// One token of each sequence: its query heads, then its key heads, then its value heads.
struct PackedQkv {
  explicit PackedQkv(const ropejit::RopeSpec& spec)
      : head_dim(spec.head_dim), q_heads(spec.q_heads), kv_heads(spec.kv_heads) {}

  std::int64_t row() const { return (q_heads + 2 * kv_heads) * head_dim; }
  std::int64_t rotated() const { return (q_heads + kv_heads) * head_dim; }
  /// The heads from `first` on, as ropejit sees them. With one token there is no stride_seq.
  ropejit::Tensor heads(Bfloat16* data, std::int64_t first) const {
    return {.data = data + first * head_dim, .stride_batch = row(), .stride_head = head_dim};
  }

  std::int64_t head_dim;
  std::int64_t q_heads;
  std::int64_t kv_heads;
};

/// The step's rotation: sequence b is at positions[b]. Both arrays are where the Rope is. On a GPU
/// the call is asynchronous, on the default stream.
void rotate(const ropejit::Rope& rope, const PackedQkv& layout, Bfloat16* qkv,
            const std::int32_t* positions, std::int64_t batch) {
  ropejit::RopeArgs args{.batch = batch, .seq = 1, .positions = positions};
  args.q = args.q_out = layout.heads(qkv, 0);
  args.k = args.k_out = layout.heads(qkv, layout.q_heads);
  rope.apply(args);
}

/// Prints a line for the token at `position`, and returns whether it is right.
bool report(const ropejit::ModelRope& model, const PackedQkv& layout, const Bfloat16* before,
            const Bfloat16* after, std::int64_t position) {
  const double theta = model.rotary[0].parameters.theta;
  double worst = 0;
  for (std::int64_t start = 0; start < layout.rotated(); start += layout.head_dim) {
    worst =
        std::max(worst, worst_error(model.spec, theta, before + start, after + start, position));
  }
  std::printf("%8lld  %7.4f  %7.4f  %19.3f\n", static_cast<long long>(position),
              to_float(before[0]), to_float(after[0]), worst);
  const bool values_kept =
      std::equal(before + layout.rotated(), before + layout.row(), after + layout.rotated());
  return worst <= 1 && values_kept;
}

bool run(const char* config_path) {
  // At start-up, once.
  const ropejit::ModelRope model = load(config_path);
  ropejit::Runtime runtime = make_runtime();
  const ropejit::Rope rope = runtime.rope(model.spec, model.rotary[0].frequencies, kDevice);
  std::printf("%s, on the %s\n", ropejit::describe(rope.spec()).c_str(),
              rope.device() == ropejit::kCpuDevice ? "CPU" : "GPU");

  // A decode step.
  const std::vector<std::int32_t> positions = {0, 17, 8191, 1000000};
  const auto batch = static_cast<std::int64_t>(positions.size());
  const PackedQkv layout(model.spec);
  const std::vector<Bfloat16> before =
      random_values(static_cast<std::size_t>(batch * layout.row()));
  DeviceArray<Bfloat16> qkv(before, rope.device());
  DeviceArray<std::int32_t> device_positions(positions, rope.device());
  rotate(rope, layout, qkv.data(), device_positions.data(), batch);

  std::printf("position  q[0] was       is  worst error / bound\n");
  const std::vector<Bfloat16>& after = qkv.read();
  bool right = true;
  for (std::int64_t b = 0; b < batch; ++b) {
    right &= report(model, layout, before.data() + b * layout.row(),
                    after.data() + b * layout.row(), positions[static_cast<std::size_t>(b)]);
  }
  std::printf(right ? "right, by a rotation in double\n" : "WRONG, by a rotation in double\n");
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: decode_step CONFIG.json\n");
    return 2;
  }
  try {
    return run(argv[1]) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "decode_step: %s\n", error.what());
    return 2;
  }
}
