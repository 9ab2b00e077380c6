#include "daybreak/tensor/container.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace daybreak::tensor {
namespace {

using base::Code;

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

const std::vector<float> kWeights = {1.0f, -2.0f, 0.5f, 3.0f, 4.0f, -0.0f};
const std::vector<double> kMean = {0.25, -0.125};
const std::vector<std::uint8_t> kFlags = {1, 0, 7};

std::vector<TensorRef> sample() {
  return {{"pi/w0", DType::kF32, {2, 3}, bytes_of(kWeights)},
          {"flags", DType::kU8, {3}, bytes_of(kFlags)},
          {"obs/mean", DType::kF64, {2}, bytes_of(kMean)}};
}

std::string sample_bytes() {
  const auto tensors = sample();
  return write_container(tensors, {{"kind", "policy"}}).value();
}

// The header of `bytes` with its checksum made right again, so that a test reaches the checks behind the checksum.
std::string sealed(std::string header, const std::string& data);

TEST(Container, what_is_written_is_read_back) {
  const auto read = Container::parse(sample_bytes());
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->metadata().at("kind"), "policy");
  EXPECT_EQ(read->metadata().at("daybreak.format"), "1");
  ASSERT_EQ(read->tensors().size(), 3u);
  EXPECT_EQ(read->tensors()[0].name, "flags");
  const TensorRef* weights = read->find("pi/w0");
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(weights->dtype, DType::kF32);
  EXPECT_EQ(weights->shape, (std::vector<std::int64_t>{2, 3}));
  ASSERT_EQ(weights->data.size(), 24u);
  EXPECT_EQ(std::memcmp(weights->data.data(), kWeights.data(), 24), 0);
  EXPECT_EQ(std::memcmp(read->find("obs/mean")->data.data(), kMean.data(), 16), 0);
  EXPECT_EQ(read->find("pi/w1"), nullptr);
}

TEST(Container, golden_bytes_do_not_change) {
  const std::vector<float> x = {1.0f};
  const std::vector<TensorRef> tensors = {{"x", DType::kF32, {1}, bytes_of(x)}};
  const std::string header = R"({"__metadata__":{"daybreak.checksum":"@","daybreak.format":"1","k":"v"},)"
                             R"("x":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}})";
  std::string bytes = write_container(tensors, {{"k", "v"}}).value();
  ASSERT_EQ(bytes.size(), 8u + 184u + 4u);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\xb8\0\0\0\0\0\0\0", 8));
  const std::size_t digits = header.find('@');
  EXPECT_EQ(bytes.substr(8 + digits, 32), "3364c6c2058e93f3640a61b0210a4f06");
  std::string expected = header;
  expected.replace(digits, 1, bytes.substr(8 + digits, 32));
  expected.resize(184, ' ');
  EXPECT_EQ(bytes.substr(8, 184), expected);
  EXPECT_EQ(bytes.substr(192), std::string("\0\0\x80\x3f", 4));
}

TEST(Container, order_of_tensors_does_not_change_the_bytes) {
  auto tensors = sample();
  std::swap(tensors[0], tensors[2]);
  EXPECT_EQ(write_container(tensors, {{"kind", "policy"}}).value(), sample_bytes());
}

TEST(Container, data_starts_at_a_cache_line_and_tensors_at_their_element_size) {
  const std::string bytes = sample_bytes();
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ((8 + header) % kDataAlignment, 0u);
  const auto read = Container::parse(bytes).value();
  for (const auto& tensor : read.tensors()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data.data()) % size_of(tensor.dtype), 0u) << tensor.name;
  }
}

TEST(Container, every_dtype_scalars_and_empty_tensors_survive) {
  const std::vector<std::uint64_t> eight = {0x0123456789abcdefull};
  std::vector<TensorRef> tensors = {{"empty", DType::kI64, {0, 5}, {}}, {"none", DType::kF16, {3, 0}, {}}};
  for (const DType dtype : kAllDTypes) {
    tensors.push_back({std::string(name_of(dtype)), dtype, {}, bytes_of(eight).first(size_of(dtype))});
  }
  const auto read = Container::parse(write_container(tensors, {}).value());
  ASSERT_TRUE(read) << read.error().to_string();
  for (const auto& tensor : tensors) {
    const TensorRef* found = read->find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(found->data, tensor.data)) << tensor.name;
  }
}

TEST(Container, no_tensors_is_a_container) {
  const auto read = Container::parse(write_container({}, {{"only", "text \"quoted\" \n"}}).value());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->metadata().at("only"), "text \"quoted\" \n");
}

TEST(Container, views_stay_valid_when_it_is_moved) {
  auto first = Container::parse(sample_bytes()).value();
  const std::byte* before = first.find("flags")->data.data();
  const Container second = std::move(first);
  EXPECT_EQ(second.find("flags")->data.data(), before);
  EXPECT_EQ(std::to_integer<int>(before[2]), 7);
}

TEST(Container, any_altered_byte_is_found) {
  const std::string good = sample_bytes();
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(Container::parse(bad)) << "byte " << i;
  }
}

TEST(Container, any_truncation_is_found) {
  const std::string good = sample_bytes();
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto read = Container::parse(good.substr(0, size));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << size << ": " << read.error().to_string();
  }
}

TEST(Container, altered_data_says_what_to_do) {
  std::string bad = sample_bytes();
  bad.back() = static_cast<char>(bad.back() ^ 0x40);
  const auto read = Container::parse(bad);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kDataLoss);
  EXPECT_NE(read.error().message().find("altered, take another copy"), std::string::npos) << read.error().message();
}

TEST(Container, expect_names_what_is_there) {
  const auto read = Container::parse(sample_bytes()).value();
  const std::int64_t right[] = {2, 3};
  const std::int64_t wrong[] = {3, 2};
  ASSERT_TRUE(read.expect("pi/w0", DType::kF32, right));
  EXPECT_EQ(read.expect("pi/w0", DType::kF64, wrong).error().message(),
            "tensor 'pi/w0' is f32 of shape [2, 3], f64 of shape [3, 2] is needed");
  EXPECT_EQ(read.expect("pi/w9", DType::kF32, right).error().code(), Code::kNotFound);
}

TEST(ContainerWriter, refuses_what_the_reader_would) {
  const std::vector<std::uint8_t> one = {1};
  const auto write = [&one](std::string name, std::vector<std::int64_t> shape) {
    const std::vector<TensorRef> tensors = {{std::move(name), DType::kU8, std::move(shape), bytes_of(one)}};
    return write_container(tensors, {});
  };
  ASSERT_TRUE(write("x", {1}));
  EXPECT_TRUE(write(std::string(kMaxNameBytes, 'n'), {1}));
  EXPECT_NE(write(std::string(kMaxNameBytes + 1, 'n'), {1}).error().message().find("the limit is 512"),
            std::string::npos);
  EXPECT_FALSE(write("", {1}));
  EXPECT_FALSE(write("__metadata__", {1}));
  EXPECT_FALSE(write("\xff", {1}));
  EXPECT_FALSE(write("x", {2}));
  EXPECT_FALSE(write("x", {-1}));
  EXPECT_TRUE(write("x", std::vector<std::int64_t>(kMaxRank, 1)));
  EXPECT_NE(
      write("x", std::vector<std::int64_t>(kMaxRank + 1, 1)).error().to_string().find("9 dimensions, the limit is 8"),
      std::string::npos);
  EXPECT_FALSE(write("x", {INT64_MAX, INT64_MAX}));
  EXPECT_FALSE(write_container({}, {{"daybreak.checksum", ""}}));
  EXPECT_FALSE(write_container({}, {{"key", "\xc3\x28"}}));
}

TEST(ContainerWriter, refuses_a_name_used_twice) {
  std::vector<TensorRef> tensors = sample();
  tensors.push_back(tensors[1]);
  EXPECT_EQ(write_container(tensors, {}).error().message(),
            "two tensors are named 'flags': names in one container are unique");
}

TEST(ContainerWriter, stops_at_the_limits_of_tensors_and_header) {
  std::vector<TensorRef> tensors;
  for (std::size_t i = 0; i < kMaxTensors; ++i) tensors.push_back({std::to_string(i), DType::kU8, {0}, {}});
  const auto most = write_container(tensors, {});
  ASSERT_TRUE(most);
  EXPECT_EQ(Container::parse(*most)->tensors().size(), kMaxTensors);
  tensors.push_back({"one more", DType::kU8, {0}, {}});
  EXPECT_EQ(write_container(tensors, {}).error().code(), Code::kInvalidArgument);

  // Around the metadata value stand 86 bytes of JSON; the header is padded to 56 modulo 64.
  const std::size_t around = write_container({}, {{"big", ""}})->find_last_not_of(' ') + 1 - 8;
  const std::size_t fits = kMaxHeaderBytes - 8 - around;
  EXPECT_TRUE(write_container({}, {{"big", std::string(fits, 'x')}}));
  EXPECT_FALSE(write_container({}, {{"big", std::string(fits + 1, 'x')}}));
}

TEST(ElementCount, zero_wins_over_overflow) {
  const std::int64_t empty[] = {INT64_MAX, INT64_MAX, 0};
  EXPECT_EQ(element_count(empty).value(), 0);
  EXPECT_EQ(element_count({}).value(), 1);
}

// ---- files with a right checksum and wrong contents

// A container whose header is `header` with '@' as the place of the checksum. The checksum is found by asking the
// parser: its error names the one it computed.
std::string sealed(std::string header, const std::string& data) {
  const std::size_t at = header.find('@');
  header.replace(at, 1, std::string(32, '0'));
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  bytes += header + data;
  const std::string message = Container::parse(bytes).error().message();
  EXPECT_TRUE(message.starts_with("checksum is ")) << message;
  return bytes.replace(8 + at, 32, message.substr(12, 32));
}

std::string with_tensors(const std::string& tensors) {
  return R"({"__metadata__":{"daybreak.checksum":"@","daybreak.format":"1"})" + (tensors.empty() ? "" : "," + tensors) +
         "}";
}

TEST(ContainerReader, a_sealed_file_by_hand_is_read) {
  const auto read =
      Container::parse(sealed(with_tensors(R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})"), "ab"));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->find("x")->data.size(), 2u);
}

TEST(ContainerReader, refuses_wrong_contents_behind_a_right_checksum) {
  const char* const cases[] = {
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,3]})",  // beyond the data
      R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})",  // a byte without a tensor
      R"("x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]})",  // a gap at the start
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[2,0]})",  // backwards
      R"("x":{"dtype":"U8","shape":[3],"data_offsets":[0,2]})",  // shape and bytes disagree
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[1],"data_offsets":[1,2]})",  // overlap
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})",  // twice
      R"("x":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]})",  // a key twice
      R"("x":{"dtype":"U9","shape":[2],"data_offsets":[0,2]})",               // unknown dtype
      R"("x":{"dtype":8,"shape":[2],"data_offsets":[0,2]})",
      R"("x":{"shape":[2],"data_offsets":[0,2]})",
      R"("x":{"dtype":"U8","shape":2,"data_offsets":[0,2]})",
      R"("x":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]})",
      R"("x":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]})",
      R"("x":{"dtype":"U8","shape":[[2]],"data_offsets":[0,2]})",
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0]})",
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,18446744073709551615]})",
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":1})",
      R"("x":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,2]})",  // nine dimensions
      R"("x":{"dtype":"F64","shape":[9223372036854775807],"data_offsets":[0,2]})",
      R"("":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})",
      R"("x":7)",
      R"("x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)",  // no JSON
  };
  for (const char* tensors : cases) {
    const auto read = Container::parse(sealed(with_tensors(tensors), "ab"));
    EXPECT_FALSE(read) << tensors;
  }
}

TEST(ContainerReader, refuses_a_misaligned_tensor) {
  const auto read = Container::parse(sealed(
      with_tensors(
          R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U16","shape":[1],"data_offsets":[1,3]})"),
      "abc"));
  EXPECT_FALSE(read);
}

TEST(ContainerReader, refuses_another_version_and_strange_metadata) {
  const auto later =
      Container::parse(sealed(R"({"__metadata__":{"daybreak.checksum":"@","daybreak.format":"2"}})", ""));
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().message(), "container format '2', this version reads '1': use the Daybreak that wrote it");
  EXPECT_FALSE(Container::parse(sealed(R"({"__metadata__":{"daybreak.checksum":"@"}})", "")));
  EXPECT_FALSE(
      Container::parse(sealed(R"({"__metadata__":{"daybreak.checksum":"@","daybreak.format":"1","n":1}})", "")));
  EXPECT_FALSE(Container::parse(sealed(R"(["daybreak.checksum":"@"])", "")));
}

TEST(ContainerReader, a_plain_safetensors_file_is_named_as_such) {
  const std::string header = R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  const auto read = Container::parse(bytes + header + "a");
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message().find("not written by Daybreak, open it with safetensors"), std::string::npos);
}

TEST(ContainerReader, a_hostile_header_length_allocates_nothing) {
  std::string bytes(16, '\xff');
  EXPECT_EQ(Container::parse(bytes).error().code(), Code::kInvalidArgument);
}

TEST(ContainerReader, deep_nesting_ends_early) {
  EXPECT_FALSE(
      Container::parse(sealed(with_tensors("\"x\":" + std::string(100000, '[') + std::string(100000, ']')), "")));
}

TEST(DTypes, names_come_back) {
  for (const DType dtype : kAllDTypes) EXPECT_EQ(dtype_of_safetensors_name(safetensors_name_of(dtype)), dtype);
  EXPECT_EQ(dtype_of_safetensors_name("F8_E4M3"), std::nullopt);
  EXPECT_EQ(size_of(dtype_of<double>()), 8u);
  EXPECT_EQ(name_of(DType::kBF16), "bf16");
}

}  // namespace
}  // namespace daybreak::tensor
