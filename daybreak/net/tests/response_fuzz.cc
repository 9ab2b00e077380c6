// What a server may say to our client, through the reader itself. The first byte chooses where the bytes are cut into
// pieces, which must change nothing, and its lowest bit whether HEAD was asked.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "daybreak/net/internal/response_reader.h"

using namespace daybreak::net;

namespace {

const Limits kSmall{.header_bytes = 512, .body_bytes = 256};

void must(bool condition) {
  if (!condition) __builtin_trap();
}

void check(const Response& response, bool head) {
  must(response.status == 101 || response.status >= 200);
  must(response.body.size() <= kSmall.body_bytes);
  std::size_t lengths = 0, codings = 0, bytes = 0;
  for (const Header header : response.headers) {
    must(!header.name.empty() && header.name.find_first_of(": \r\n") == header.name.npos);
    must(header.value.find_first_of(std::string_view("\r\n\0", 3)) == header.value.npos);
    lengths += equal_ignoring_case(header.name, "Content-Length");
    codings += equal_ignoring_case(header.name, "Transfer-Encoding");
    bytes += header.name.size() + header.value.size();
  }
  must(lengths + codings <= 1 && bytes <= kSmall.header_bytes);
  const bool bodiless = head || response.status == 101 || response.status == 204 || response.status == 304;
  if (bodiless) must(response.body.empty());
  if (!bodiless && lengths == 1)
    must(std::strtoull(std::string(response.headers.get("Content-Length")).c_str(), nullptr, 10) ==
         response.body.size());
}

// The first response; empty when there is none.
std::string transcript(std::string_view input, std::size_t piece, bool head) {
  ResponseReader reader(kSmall);
  reader.expect(head ? "HEAD" : "GET");
  auto outcome = ResponseReader::Outcome::kMore;
  while (outcome == ResponseReader::Outcome::kMore && !input.empty()) {
    const std::span<char> to = reader.prepare();
    must(!to.empty());
    const std::string_view part = input.substr(0, std::min(piece, to.size()));
    std::ranges::copy(part, to.begin());
    input.remove_prefix(part.size());
    reader.committed(part.size());
    outcome = reader.next();
  }
  if (outcome == ResponseReader::Outcome::kMore) outcome = reader.finish();
  must(outcome != ResponseReader::Outcome::kMore);
  must((outcome == ResponseReader::Outcome::kRefused) == (reader.fault() != Fault::kNone));
  if (outcome == ResponseReader::Outcome::kRefused) {
    must(!reader.fault_text().empty() && reader.next() == ResponseReader::Outcome::kRefused);
    return {};
  }
  const Response& response = reader.response();
  check(response, head);
  std::string told = std::to_string(response.status) + " " + response.content_type + "\n";
  for (const Header header : response.headers) told.append(header.name).append(": ").append(header.value).append("\n");
  return told + response.body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 8192) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool head = (data[0] & 1) != 0;
  must(transcript(input, input.size() + 1, head) == transcript(input, std::size_t{1} + (data[0] >> 1) % 61, head));
  return 0;
}
