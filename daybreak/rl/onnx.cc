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
  // A packed list of one number.
  Message& number_list(int field, std::uint64_t value) {
    Message list;
    list.varint(value);
    return message(field, list);
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
  std::string constant(std::string name, std::int64_t value) {
    Message tensor;
    tensor.number(2, kInt64).text(8, name).number_list(7, static_cast<std::uint64_t>(value));
    initializers_.push_back(tensor);
    return name;
  }

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

// The mean within the bounds, as ActionBounds::apply does it.
void add_box_action(Graph& graph, const ActionBounds& bounds, std::string action) {
  const auto n = static_cast<std::int64_t>(bounds.low.size());
  graph.constant("low", {n}, bounds.low);
  if (bounds.scaled) {
    action = graph.add("Clip", {action, graph.constant("minus_one", -1.0F), graph.constant("one", 1.0F)}, "clipped");
    action = graph.add("Add", {action, "one"}, "shifted");
    action = graph.add("Mul", {action, graph.constant("half_range", {n}, bounds.half_range)}, "scaled");
    action = graph.add("Add", {action, "low"}, "unheld");
  }
  action = graph.add("Max", {action, "low"}, "not_below");
  graph.add("Min", {action, graph.constant("high", {n}, bounds.high)}, "action");
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
    const std::int64_t start = policy.info().action_space.start;
    graph.add("ArgMax", {x}, start == 0 ? "action" : "index", {int_attribute("axis", 1), int_attribute("keepdims", 0)});
    if (start != 0) graph.add("Add", {"index", graph.constant("start", start)}, "action");
    graph.value(12, "action", kInt64, 0);
  } else {
    add_box_action(graph, policy.bounds(), x);
    graph.value(12, "action", kFloat, actions);
  }
  graph.value(12, "outputs", kFloat, actions);
  return std::move(graph).model();
}

}  // namespace daybreak::rl
