#include "daybreak/runtime/stream.h"

#include <algorithm>
#include <optional>

#include "daybreak/base/failpoint.h"
#include "daybreak/runtime/value_format.h"

namespace daybreak::runtime {

namespace {

bool is_pending_cell(Process& p, Ref cell, std::uint32_t task) {
  Entry& e = p.entry(cell.index);
  const State s = e.load();
  return s.generation() == cell.generation && s.phase() == Phase::kPending && e.kind_now() == Kind::kReturn &&
         e.part.task_now().index == task;
}

}  // namespace

// The first of the pending ones: an attempt before this one may have died with the next cell there already.
Stream::Stream(Client& client, std::uint32_t index)
    : client_(client), p_(client.process()), index_(index), ahead_(p_.entry(index).window, kNoRef) {
  std::optional<std::uint32_t> first;
  for (Ref cell : p_.further_results(index))
    if (is_pending_cell(p_, cell, index)) first = std::min(first.value_or(UINT32_MAX), p_.entry(cell.index).number);
  ended_ = !first;
  items_ = first.value_or(0);
}

Ref Stream::place(std::uint32_t number) {
  return p_.further_results(index_)[number % 2];
}

bool Stream::abandoned() {
  return !p_.wanted(place(items_).index);
}

// A cell goes when the consumer is past it.
bool Stream::has_room() {
  if (ahead_.empty()) return true;
  const Ref last = ahead_[items_ % ahead_.size()];
  return last == kNoRef || p_.entry(last.index).load().generation() != last.generation;
}

// It is named before it is pending: who dies in between leaves an entry that the sweep abandons, and a name that is stale.
base::Result<Ref> Stream::next_cell() {
  const Ref there = place(items_ + 1);
  if (is_pending_cell(p_, there, index_) && p_.entry(there.index).number == items_ + 1) {
    p_.hold(there);
    return there;
  }
  DAYBREAK_ASSIGN(const Ref cell, p_.create(Kind::kReturn));
  Entry& e = p_.entry(cell.index);
  e.part.set_function({index_, p_.entry(index_).load().generation()});
  e.number = items_ + 1;
  DAYBREAK_FAILPOINT("stream.created");
  p_.replace_further_result(index_, (items_ + 1) % 2, cell);
  DAYBREAK_FAILPOINT("stream.named");
  p_.set_pending(cell.index);
  return cell;
}

// The publication commits. Until then the cell is pending, or claimed by us and pending again after a death.
base::Status Stream::write(Ref item) {
  const Ref cell = place(items_);
  DAYBREAK_ASSIGN(const Ref next, next_cell());
  DAYBREAK_FAILPOINT("stream.next");
  DAYBREAK_CHECK(p_.claim_pending(cell));
  ValueWriter writer;
  writer.references(Tag::kRefTuple, 0, 2);
  Payload payload;
  payload.codec = kCodecItem;
  payload.refs = {item, next};
  writer.add_pieces(payload);
  if (auto written = client_.set_value(cell.index, payload); !written) {
    p_.revert(cell.index, Phase::kPending);
    p_.release(next);
    return written;
  }
  DAYBREAK_FAILPOINT("stream.written");
  p_.publish(cell.index, false);
  p_.release(next);  // the cell's value keeps it, or nobody wants it
  if (!ahead_.empty()) ahead_[items_ % ahead_.size()] = cell;
  ++items_;
  return {};
}

std::vector<std::uint32_t> Stream::claim_rest() {
  std::vector<std::uint32_t> claimed;
  if (ended_) return claimed;
  for (const Ref cell : {place(items_), place(items_ + 1)})
    if (is_pending_cell(p_, cell, index_) && p_.claim_pending(cell)) claimed.push_back(cell.index);
  return claimed;
}

}  // namespace daybreak::runtime
