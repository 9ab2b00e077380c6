// The one canonical binary form of everything that this room stores, sends, hashes or signs: fixed order of fields,
// minimal varints, sorted unique sets, no unknown fields, no trailing bytes. So decode(x) = y implies encode(y) = x,
// and a hash names one meaning.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "daybreak/base/bytes.h"
#include "daybreak/crypto/hash.h"
#include "daybreak/crypto/secret.h"

namespace daybreak::grant {

using crypto::Hash;

// tag("daybreak/grant/x/v1"): with its closing zero byte, so that no tag is the beginning of another. Everything that
// is hashed or signed begins with one.
template <std::size_t N>
consteval std::string_view tag(const char (&text)[N]) {
  return {text, N};
}

// SHA-256 of the parts, one after the other. The parts frame themselves, or are of fixed size.
Hash hash_of(std::string_view tag, std::initializer_list<std::string_view> parts);

inline std::string_view view(std::span<const std::uint8_t> bytes) {
  return crypto::view_of(bytes);
}
inline bool is_zero(const Hash& hash) {
  return hash == Hash{};
}

using Writer = base::ByteWriter;
using Reader = base::ByteReader;

// A zero hash takes one byte, any other 33.
void write_optional_hash(Writer& out, const Hash& hash);
Hash read_optional_hash(Reader& in, const char* field);
// The version byte that every object begins with.
void read_version(Reader& in, std::uint8_t known);

}  // namespace daybreak::grant
