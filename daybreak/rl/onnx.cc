#include "daybreak/rl/onnx.h"

#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace daybreak::rl {

namespace {

// Field numbers are those of onnx.proto3 (onnx 1.16); wire types of protobuf: 0 varint, 2 length-delimited, 5 four
// bytes.
class Message {
 public:
  Message& number(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(value);
    return *this;
  }
  Message& real(int field, float value) {
    varint((static_cast<std::uint64_t>(field) << 3) | 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes_.push_back(static_cast<char>(bits >> shift));
    return *this;
  }
  Message& text(int field, std::string_view value) {
    varint((static_cast<std::uint64_t>(field) << 3) | 2);
    varint(value.size());
    bytes_.append(value);
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  std::string bytes_;
};

constexpr int kFloat = 1;  // TensorProto.DataType
constexpr int kInt64 = 7;

class Graph {
 public:
  // A node with one output; returns its name.
  std::string add(std::string_view op, const std::vector<std::string>& inputs, std::string output,
                  const std::vector<Message>& attributes = {}) {
    Message node;
    for (const std::string& input : inputs) node.text(1, input);
    node.text(2, output).text(3, output).text(4, op);
    for (const Message& attribute : attributes) node.message(5, attribute);
    graph_.message(1, node);
    return output;
  }

  std::string constant(std::string name, const std::vector<std::int64_t>& shape, std::span<const float> values) {
    Message tensor;
    for (std::int64_t n : shape) tensor.number(1, static_cast<std::uint64_t>(n));
    tensor.number(2, kFloat).text(8, name);
    std::string raw;
    for (float value : values) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      for (int shift = 0; shift < 32; shift += 8) raw.push_back(static_cast<char>(bits >> shift));
    }
    tensor.text(9, raw);
    initializers_.push_back(tensor);
    return name;
  }
  std::string constant(std::string name, float value) { return constant(std::move(name), {}, std::span(&value, 1)); }

  void value(int field, std::string_view name, int type, std::int64_t columns) {
    Message shape;
    shape.message(1, Message().text(2, "batch"));
    if (columns > 0) shape.message(1, Message().number(1, static_cast<std::uint64_t>(columns)));
    const Message tensor = Message().number(1, static_cast<std::uint64_t>(type)).message(2, shape);
    values_.push_back({field, Message().text(1, name).message(2, Message().message(1, tensor))});
  }

  std::string model() && {
    graph_.text(2, "daybreak policy");
    for (const Message& tensor : initializers_) graph_.message(5, tensor);
    for (const auto& [field, value] : values_) graph_.message(field, value);
    return Message()
        .number(1, 8)
        .text(2, "daybreak")
        .message(7, graph_)
        .message(8, Message().text(1, "").number(2, 13))
        .bytes();
  }

 private:
  Message graph_;
  std::vector<Message> initializers_;
  std::vector<std::pair<int, Message>> values_;
};

Message int_attribute(std::string_view name, std::int64_t value) {
  return Message().text(1, name).number(3, static_cast<std::uint64_t>(value)).number(20, 2);
}

// clip(mean, -1, 1) mapped to the bounds, as scale_action does.
void add_bounded_action(Graph& graph, const Space& space, const std::string& mean) {
  std::vector<float> low;
  std::vector<float> half;
  for (std::size_t i = 0; i < space.low.size(); ++i) {
    low.push_back(static_cast<float>(space.low[i]));
    half.push_back(0.5F * (static_cast<float>(space.high[i]) - static_cast<float>(space.low[i])));
  }
  const std::string clipped =
      graph.add("Clip", {mean, graph.constant("minus_one", -1), graph.constant("one", 1)}, "clipped");
  const std::string shifted = graph.add("Add", {clipped, "one"}, "shifted");
  const std::string scaled = graph.add("Mul", {shifted, graph.constant("half_range", {space.n}, half)}, "scaled");
  graph.add("Add", {scaled, graph.constant("low", {space.n}, low)}, "action");
}

}  // namespace

std::string to_onnx(const Policy& policy) {
  Graph graph;
  const std::int64_t observations = policy.observation_size();
  const std::int64_t actions = policy.info().action_space.n;
  graph.value(11, "observation", kFloat, observations);
  std::string x = "observation";
  if (const nn::Filter& filter = policy.filter(); filter.enabled) {
    x = graph.add("Sub", {x, graph.constant("filter.mean", {observations}, filter.mean)}, "centred");
    x = graph.add("Mul", {x, graph.constant("filter.inverse_std", {observations}, filter.inverse_std)}, "scaled_input");
    x = graph.add("Clip", {x, graph.constant("filter.low", -filter.limit), graph.constant("filter.high", filter.limit)},
                  "filtered");
  }
  const std::vector<tensor::TensorRef> tensors = policy.tensors();
  const auto floats_of = [](const tensor::TensorRef& tensor) {
    return std::span(reinterpret_cast<const float*>(tensor.data.data()), tensor.data.size() / sizeof(float));
  };
  const std::size_t layers = policy.actor().layers().size();
  for (std::size_t l = 0; l < layers; ++l) {
    // Policy::tensors() holds weight and bias of each layer first, in order.
    const tensor::TensorRef& weight = tensors[2 * l];
    const tensor::TensorRef& bias = tensors[2 * l + 1];
    const bool last = l + 1 == layers;
    const std::string linear = last ? "outputs" : fmt::format("linear.{}", l);
    x = graph.add("Gemm",
                  {x, graph.constant(weight.name, weight.shape, floats_of(weight)),
                   graph.constant(bias.name, bias.shape, floats_of(bias))},
                  linear, {int_attribute("transB", 1)});
    if (!last) x = graph.add(policy.info().act == nn::Act::kRelu ? "Relu" : "Tanh", {x}, fmt::format("hidden.{}", l));
  }
  if (policy.discrete()) {
    graph.add("ArgMax", {x}, "action", {int_attribute("axis", 1), int_attribute("keepdims", 0)});
    graph.value(12, "action", kInt64, 0);
  } else {
    if (policy.bounded()) {
      add_bounded_action(graph, policy.info().action_space, x);
    } else {
      graph.add("Identity", {x}, "action");
    }
    graph.value(12, "action", kFloat, actions);
  }
  graph.value(12, "outputs", kFloat, actions);
  return std::move(graph).model();
}

}  // namespace daybreak::rl
