#include "daybreak/crypto/hash.h"

#include <openssl/evp.h>

#include <system_error>

#include "daybreak/base/error.h"

namespace daybreak::crypto {

namespace {

// Fetched once: OpenSSL 3 otherwise looks the algorithm up by name at each use, which costs more than a short hash.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  DAYBREAK_CHECK(md != nullptr);
  return md;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  State() { DAYBREAK_CHECK(ctx != nullptr && EVP_DigestInit_ex2(ctx, algorithm(), nullptr) == 1); }
  ~State() { EVP_MD_CTX_free(ctx); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  void update(std::span<const std::byte> bytes) {
    DAYBREAK_CHECK(EVP_DigestUpdate(ctx, bytes.data(), bytes.size()) == 1);
  }
  Hash finish() {
    Hash out;
    unsigned size = 0;
    DAYBREAK_CHECK(EVP_DigestFinal_ex(ctx, out.data(), &size) == 1 && size == out.size());
    DAYBREAK_CHECK(EVP_DigestInit_ex2(ctx, nullptr, nullptr) == 1);
    return out;
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  state_->update(bytes);
  return *this;
}

Hash Sha256::finish() {
  return state_->finish();
}

Hash sha256(std::span<const std::byte> bytes) {
  thread_local Sha256 context;
  return context.update(bytes).finish();
}

namespace {

constexpr std::size_t kMinBytesBehind = 256 * 1024;  // a thread costs some 30 us, which is the hash of 50 KB

}  // namespace

HashBehind::HashBehind(std::string_view prefix, std::span<const std::byte> bytes) : bytes_(bytes) {
  sha_.update(prefix);
  if (bytes.size() < kMinBytesBehind) return;
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {  // no thread to be had: finish() does the work
  }
}

HashBehind::~HashBehind() {
  if (!thread_.joinable()) return;
  advance(bytes_.size());
  thread_.join();
}

void HashBehind::work() {
  while (hashed_ < bytes_.size()) {
    const std::size_t ready = written_.load(std::memory_order_acquire);
    if (ready == hashed_) {
      written_.wait(ready, std::memory_order_acquire);
      continue;
    }
    sha_.update(bytes_.subspan(hashed_, ready - hashed_));
    hashed_ = ready;
  }
}

void HashBehind::advance(std::size_t size_bytes) {
  written_.store(size_bytes, std::memory_order_release);
  if (thread_.joinable()) written_.notify_one();
}

Hash HashBehind::finish() {
  advance(bytes_.size());
  if (thread_.joinable()) {
    thread_.join();
  } else {
    work();
  }
  return sha_.finish();
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(2 * bytes.size(), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 15];
  }
  return text;
}

bool from_hex(std::string_view text, std::span<std::uint8_t> out) {
  if (text.size() != 2 * out.size()) return false;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace daybreak::crypto
