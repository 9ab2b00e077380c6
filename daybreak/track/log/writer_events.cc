// The part of a Writer that records what is not a point: names, contexts, series, and events of strings. All of it
// under the mutex: it happens seldom.
#include <algorithm>

#include "daybreak/base/failpoint.h"
#include "daybreak/track/log/writer.h"

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

base::Status check_text(std::string_view what, std::string_view text, std::size_t limit) {
  if (text.empty() || text.size() > limit) {
    return fail(Code::kInvalidArgument, "a {} has 1 to {} bytes: {} given", what, limit, text.size());
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return fail(Code::kInvalidArgument, "a {} has no control characters", what);
  }
  return {};
}

}  // namespace

base::Status Writer::put_event(EventKind kind, std::string_view payload) {
  const std::string record = encode_event(kind, event_sequence_, now_ns(), payload);
  if (record.size() > kMaxEventBytes) {
    return fail(Code::kInvalidArgument, "an event of {} bytes, the limit is {}", record.size(), kMaxEventBytes);
  }
  if (static_cast<std::size_t>(events_.end - events_.at) < record.size()) {
    DAYBREAK_TRY(claim_or_move_on(events_, BlockKind::kEvents));
  }
  std::memcpy(events_.at + 8, record.data() + 8, record.size() - 8);
  DAYBREAK_FAILPOINT("event_stored");
  store_word(events_.at, load<std::uint64_t>(record.data()));
  DAYBREAK_FAILPOINT("event_committed");
  events_.at += record.size();
  ++event_sequence_;
  return {};
}

// Everything that ids stand for, at the start of each segment, so that a segment can be read by itself.
base::Status Writer::put_dictionary() {
  // The caller's lock is ours, which a lambda cannot say of the enclosing object's.
  const auto put = [&](EventKind kind, auto... values)
                       DAYBREAK_THREAD_ANNOTATION(no_thread_safety_analysis) -> base::Status {
    std::string payload;
    (append_raw(payload, values), ...);
    return put_event(kind, payload);
  };
  if (names_.size() + contexts_.size() + series_.size() == 0) return {};
  for (std::uint32_t id = 1; id < name_by_id_.size(); ++id) {
    std::string payload;
    append_raw(payload, id);
    DAYBREAK_TRY(put_event(EventKind::kName, payload + name_by_id_[id]));
  }
  for (std::uint32_t id = 1; id < context_by_id_.size(); ++id) {
    const ContextName& context = context_by_id_[id];
    DAYBREAK_TRY(put(EventKind::kContext, id, context.parent, context.loop, context.index));
  }
  for (std::uint32_t id = 1; id < series_by_id_.size(); ++id) {
    DAYBREAK_TRY(put(EventKind::kSeries, id, series_by_id_[id].name, series_by_id_[id].context));
  }
  return {};
}

base::Result<std::uint32_t> Writer::name(std::string_view text) {
  if (const auto known = names_.find(text); known != names_.end()) return known->second;
  if (name_by_id_.size() > kMaxSeries)
    return fail(Code::kResourceExhausted, "{} names in one run, no more", kMaxSeries);
  const auto id = static_cast<std::uint32_t>(name_by_id_.size());
  std::string payload;
  append_raw(payload, id);
  DAYBREAK_TRY(put_event(EventKind::kName, payload.append(text)));
  names_.emplace(text, id);
  name_by_id_.emplace_back(text);
  return id;
}

base::Result<std::uint32_t> Writer::series(std::string_view metric, std::uint32_t context) {
  DAYBREAK_TRY(check_text("metric's name", metric, kMaxNameBytes));
  base::MutexLock lock(mutex_);
  DAYBREAK_TRY(usable());
  if (context >= context_by_id_.size()) return fail(Code::kInvalidArgument, "there is no context {}", context);
  DAYBREAK_ASSIGN(const std::uint32_t name_id, name(metric));
  const SeriesName key{name_id, context};
  if (const auto known = series_.find(key); known != series_.end()) return known->second;
  if (series_by_id_.size() > kMaxSeries) {
    return fail(Code::kResourceExhausted, "{} metrics in one run, no more", kMaxSeries);
  }
  const auto id = static_cast<std::uint32_t>(series_by_id_.size());
  std::string payload;
  append_raw(payload, id);
  append_raw(payload, name_id);
  append_raw(payload, context);
  DAYBREAK_TRY(put_event(EventKind::kSeries, payload));
  series_.emplace(key, id);
  series_by_id_.push_back(key);
  return id;
}

base::Result<std::uint32_t> Writer::context(std::uint32_t parent, std::string_view loop, std::int64_t index) {
  DAYBREAK_TRY(check_text("loop's name", loop, kMaxNameBytes));
  base::MutexLock lock(mutex_);
  DAYBREAK_TRY(usable());
  if (parent >= context_by_id_.size()) return fail(Code::kInvalidArgument, "there is no context {}", parent);
  const std::size_t depth = context_depth_[parent] + 1;
  const std::size_t bytes = context_bytes_[parent] + loop.size() + 22;  // "/", "=", 20 digits
  if (depth > kMaxContextDepth || bytes > kMaxContextBytes) {
    return fail(Code::kInvalidArgument, "a context {} deep and {} bytes long: the limits are {} and {}", depth, bytes,
                kMaxContextDepth, kMaxContextBytes);
  }
  DAYBREAK_ASSIGN(const std::uint32_t loop_id, name(loop));
  const ContextName key{parent, loop_id, index};
  if (const auto known = contexts_.find(key); known != contexts_.end()) return known->second;
  if (context_by_id_.size() >= kMaxSeries) return fail(Code::kResourceExhausted, "{} contexts, no more", kMaxSeries);
  const auto id = static_cast<std::uint32_t>(context_by_id_.size());
  std::string payload;
  append_raw(payload, id);
  append_raw(payload, parent);
  append_raw(payload, loop_id);
  append_raw(payload, index);
  DAYBREAK_TRY(put_event(EventKind::kContext, payload));
  contexts_.emplace(key, id);
  context_by_id_.push_back(key);
  context_depth_.push_back(depth);
  context_bytes_.push_back(bytes);
  return id;
}

base::Status Writer::event(EventKind kind, std::span<const std::string_view> fields) {
  if (fields.size() > kMaxFields)
    return fail(Code::kInvalidArgument, "{} fields, the limit is {}", fields.size(), kMaxFields);
  for (const std::string_view field : fields) {
    if (field.size() > kMaxFieldBytes) {
      return fail(Code::kInvalidArgument, "a text of {} bytes, the limit is {}: keep it as an artifact", field.size(),
                  kMaxFieldBytes);
    }
  }
  const std::string payload = encode_fields(fields);
  base::MutexLock lock(mutex_);
  DAYBREAK_TRY(usable());
  return put_event(kind, payload);
}

}  // namespace daybreak::track
