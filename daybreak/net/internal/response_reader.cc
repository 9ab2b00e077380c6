#include "daybreak/net/internal/response_reader.h"

namespace daybreak::net {

void ResponseReader::expect(std::string_view method) {
  head_ = method == "HEAD";
  interim_ = 0;
  if (head_) reader_.expect_no_body();
}

ResponseReader::Outcome ResponseReader::next() {
  for (;;) {
    const auto outcome = reader_.next();
    const int status = reader_.message().status;
    if (outcome == MessageReader<false>::Outcome::kHead) {
      if (status < 100) return outcome_of(reader_.fail(Fault::kSyntax));
      continue;
    }
    if (outcome != MessageReader<false>::Outcome::kMessage || status >= 200 || status == 101)
      return outcome_of(outcome);
    if (++interim_ > kMaxInterim) return outcome_of(reader_.fail(Fault::kInterim));
    if (head_) reader_.expect_no_body();
  }
}

ResponseReader::Outcome ResponseReader::outcome_of(MessageReader<false>::Outcome outcome) {
  if (outcome == MessageReader<false>::Outcome::kFault) return Outcome::kRefused;
  if (outcome != MessageReader<false>::Outcome::kMessage) return Outcome::kMore;
  Response& response = reader_.message();
  response.content_type = response.headers.get("Content-Type");
  return Outcome::kResponse;
}

}  // namespace daybreak::net
