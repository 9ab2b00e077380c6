#include "daybreak/net/internal/answers.h"

#include <fmt/format.h>

#include <utility>

#include "daybreak/net/internal/origin.h"

namespace daybreak::net {

namespace {

// A body up to this size is copied behind its head, so that both are one piece.
constexpr std::size_t kCopiedBody = 16 * 1024;

}  // namespace

Response allowed_answer(std::string_view methods) {
  Response response{204, "", "", {}};
  response.headers.add("Allow", fmt::format("{}{}OPTIONS", methods, methods.empty() ? "" : ", "));
  return response;
}

void Answer::fill(Response&& response, std::string_view date) {
  // Who asks what is allowed is told, and not that asking is not.
  if (options_request && response.status == 405) response = allowed_answer(response.headers.get("Allow"));
  if (!origin.empty()) allow_origin(origin, response);
  status = response.status;
  bytes.reserve(256 + (response.body.size() <= kCopiedBody ? response.body.size() : 0));
  encode_head(response, close ? After::kCloses : old ? After::kStaysAndSaysSo : After::kStays, date, bytes);
  if (!head_request && response.status != 204 && response.status != 304) {
    if (response.body.size() <= kCopiedBody) {
      bytes += response.body;
    } else {
      body = std::move(response.body);
    }
  }
  ready = true;
}

Answer& Answers::add(std::string_view method) {
  Answer& answer = all_.emplace_back();
  answer.sequence = next_++;
  answer.head_request = method == "HEAD";
  answer.options_request = method == "OPTIONS";
  return answer;
}

Answer* Answers::awaited(std::uint64_t sequence) {
  if (all_.empty() || sequence - all_.front().sequence >= all_.size()) return nullptr;
  Answer& answer = all_[sequence - all_.front().sequence];
  return answer.ready ? nullptr : &answer;
}

Answers::Next Answers::gather(std::vector<boost::asio::const_buffer>& pieces) const {
  Next next;
  for (const Answer& answer : all_) {
    if (!answer.ready) break;
    pieces.emplace_back(answer.bytes.data(), answer.bytes.size());
    if (!answer.body.empty()) pieces.emplace_back(answer.body.data(), answer.body.size());
    next.bytes += answer.bytes.size() + answer.body.size();
    ++next.count;
    if (answer.close) break;
  }
  return next;
}

}  // namespace daybreak::net
