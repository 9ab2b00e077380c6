#include "daybreak/tune/records.h"

#include <bit>
#include <cmath>

#include "daybreak/base/bytes.h"

namespace daybreak::tune {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::fail;
using base::Result;
using base::Status;

namespace {

// What a change has, a bit each, in the order in which it is written.
constexpr unsigned kParameters = 1, kReports = 2, kAttributes = 4, kViolation = 8, kNote = 16, kState = 32,
                   kValues = 64, kOfHolder = 128, kStarted = 256, kFinished = 512, kAllParts = 1023;

Status check_size(std::string_view text, std::size_t limit, std::string_view what) {
  if (text.size() <= limit) return {};
  return fail(Code::kInvalidArgument, "{} of {} bytes: at most {}, keep the rest in a file of its own", what,
              text.size(), limit);
}

Status check_record_name(std::string_view name, std::string_view what) {
  if (name.size() <= kMaxNameBytes) return {};
  return fail(Code::kInvalidArgument, "{} '{}...' of {} bytes: at most {}", what, name.substr(0, 40), name.size(),
              kMaxNameBytes);
}

// Zigzag: small numbers of either sign are short.
std::uint64_t folded(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unfolded(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

Status write_attributes(ByteWriter& out, const std::vector<Attribute>& attributes) {
  out.varint(attributes.size());
  for (const Attribute& attribute : attributes) {
    DAYBREAK_TRY(check_record_name(attribute.name, "an attribute's name"));
    DAYBREAK_TRY(check_size(attribute.json, kMaxAttributeBytes, fmt::format("the attribute '{}'", attribute.name)));
    out.u8(attribute.system ? 1 : 0).text(attribute.name).text(attribute.json);
  }
  return {};
}

std::size_t read_count(ByteReader& in, const char* field) {
  const std::uint64_t count = in.varint(1, kMaxChangeItems, field);
  in.require(count <= in.left(), "more items than bytes");  // each has at least one
  return in.ok() ? static_cast<std::size_t>(count) : 0;
}

std::vector<Attribute> read_attributes(ByteReader& in) {
  std::vector<Attribute> attributes;
  for (std::size_t left = read_count(in, "attributes"); left > 0 && in.ok(); --left) {
    Attribute& attribute = attributes.emplace_back();
    const std::uint8_t system = in.u8();
    in.require(system <= 1, "an attribute of a third kind");
    attribute.system = system == 1;
    attribute.name = in.text(0, kMaxNameBytes, "name");
    attribute.json = in.text(0, kMaxAttributeBytes, "attribute");
  }
  return attributes;
}

// A byte with the kind, log, and whether there are options; then the numbers.
void write_distribution(ByteWriter& out, const Suggested& suggested) {
  const Distribution& of = suggested.distribution;
  out.u8(static_cast<std::uint8_t>(static_cast<unsigned>(of.kind()) | (of.log() ? 4U : 0U) |
                                   (suggested.options.empty() ? 0U : 8U)));
  switch (of.kind()) {
    case Distribution::Kind::kFloat:
      out.fixed<double>(of.low()).fixed<double>(of.high()).fixed<double>(of.step());
      break;
    case Distribution::Kind::kInt:
      out.varint(folded(static_cast<std::int64_t>(of.low())))
          .varint(folded(static_cast<std::int64_t>(of.high())))
          .varint(static_cast<std::uint64_t>(of.step()));
      break;
    case Distribution::Kind::kCategorical:
      out.varint(of.count());
      if (!suggested.options.empty()) out.text(suggested.options);
      break;
  }
}

bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

void read_distribution(ByteReader& in, Suggested& suggested) {
  const std::uint8_t flags = in.u8();
  const bool log = (flags & 4U) != 0;
  in.require(flags < 16 && (flags & 3U) != 3, "a distribution of an unknown kind");
  const auto kind = static_cast<Distribution::Kind>(flags & 3U);
  in.require((flags & 8U) == 0 || kind == Distribution::Kind::kCategorical, "options of a number");
  in.require(!log || kind != Distribution::Kind::kCategorical, "a logarithm of options");
  if (!in.ok()) return;
  Result<Distribution> made;
  double low = 0, high = 0;
  if (kind == Distribution::Kind::kFloat) {
    low = in.fixed<double>();
    high = in.fixed<double>();
    made = Distribution::real(low, high, log, in.fixed<double>());
  } else if (kind == Distribution::Kind::kInt) {
    const std::int64_t first = unfolded(in.varint(0, UINT64_MAX, "a bound"));
    const std::int64_t last = unfolded(in.varint(0, UINT64_MAX, "a bound"));
    low = static_cast<double>(first);
    high = static_cast<double>(last);
    made = Distribution::whole(first, last, log, static_cast<std::int64_t>(in.varint(1, 1ULL << 54, "step")));
  } else {
    const auto options = static_cast<std::uint32_t>(in.varint(1, kMaxOptions, "options"));
    high = options - 1.0;
    made = Distribution::categorical(options);
    if ((flags & 8U) != 0) suggested.options = in.text(1, kMaxOptionsBytes, "options");
  }
  if (!in.ok()) return;
  if (!made) return in.fail(made.error().message());
  in.require(same_bits(made->low(), low) && same_bits(made->high(), high),
             "a bound that is no step of the distribution");
  suggested.distribution = *made;
}

unsigned parts_of(const TrialChange& change) {
  unsigned parts = 0;
  const auto has = [&](bool there, unsigned part) { parts |= there ? part : 0U; };
  has(!change.parameters.empty(), kParameters);
  has(!change.reports.empty(), kReports);
  has(!change.attributes.empty(), kAttributes);
  has(change.violation.has_value(), kViolation);
  has(change.note.has_value(), kNote);
  has(change.state.has_value(), kState);
  has(!change.values.empty(), kValues);
  has(change.holder.has_value(), kOfHolder);
  has(change.started_ns != 0, kStarted);
  has(change.finished_ns != 0, kFinished);
  return parts;
}

Status write_change(ByteWriter& out, const TrialChange& change) {
  out.varint(parts_of(change));
  for (const std::size_t count : {change.parameters.size(), change.reports.size(), change.attributes.size()}) {
    if (count > kMaxChangeItems) {
      return fail(Code::kInvalidArgument, "{} items in one change of a trial: at most {}, make several", count,
                  kMaxChangeItems);
    }
  }
  if (!change.parameters.empty()) {
    out.varint(change.parameters.size());
    for (const Suggested& suggested : change.parameters) {
      DAYBREAK_TRY(check_record_name(suggested.name, "a parameter's name"));
      DAYBREAK_TRY(check_size(suggested.options, kMaxOptionsBytes, fmt::format("the options of '{}'", suggested.name)));
      out.text(suggested.name);
      write_distribution(out, suggested);
      out.fixed<double>(suggested.value);
    }
  }
  if (!change.reports.empty()) {
    out.varint(change.reports.size());
    for (const Report& report : change.reports) out.varint(folded(report.step)).fixed<double>(report.value);
  }
  if (!change.attributes.empty()) DAYBREAK_TRY(write_attributes(out, change.attributes));
  if (change.violation) out.fixed<double>(*change.violation);
  if (change.note) {
    DAYBREAK_TRY(check_size(*change.note, kMaxNoteBytes, "a sampler's note"));
    out.text(*change.note);
  }
  if (change.state) out.u8(static_cast<std::uint8_t>(*change.state));
  if (!change.values.empty()) {
    if (change.values.size() > kMaxDirections) {
      return fail(Code::kInvalidArgument, "{} values: at most {}", change.values.size(), kMaxDirections);
    }
    out.varint(change.values.size());
    for (const double value : change.values) out.fixed<double>(value);
  }
  if (change.holder) out.fixed<std::uint64_t>(*change.holder);
  if (change.started_ns != 0) out.fixed<std::int64_t>(change.started_ns);
  if (change.finished_ns != 0) out.fixed<std::int64_t>(change.finished_ns);
  return {};
}

TrialChange read_change(ByteReader& in) {
  TrialChange change;
  const std::uint64_t parts = in.varint(0, kAllParts, "parts");
  if ((parts & kParameters) != 0) {
    for (std::size_t left = read_count(in, "parameters"); left > 0 && in.ok(); --left) {
      Suggested& suggested = change.parameters.emplace_back();
      suggested.name = in.text(0, kMaxNameBytes, "name");
      read_distribution(in, suggested);
      suggested.value = in.fixed<double>();
    }
  }
  if ((parts & kReports) != 0) {
    for (std::size_t left = read_count(in, "reports"); left > 0 && in.ok(); --left) {
      const std::int64_t step = unfolded(in.varint(0, UINT64_MAX, "step"));
      change.reports.push_back({.step = step, .value = in.fixed<double>()});
    }
  }
  if ((parts & kAttributes) != 0) change.attributes = read_attributes(in);
  if ((parts & kViolation) != 0) change.violation = in.fixed<double>();
  if ((parts & kNote) != 0) change.note = in.text(0, kMaxNoteBytes, "note");
  if ((parts & kState) != 0) {
    const std::uint8_t state = in.u8();
    in.require(state <= static_cast<std::uint8_t>(State::kWaiting), "a state that is none");
    if (in.ok()) change.state = static_cast<State>(state);
  }
  if ((parts & kValues) != 0) {
    for (std::uint64_t left = in.varint(1, kMaxDirections, "values"); left > 0 && in.ok(); --left) {
      change.values.push_back(in.fixed<double>());
    }
  }
  if ((parts & kOfHolder) != 0) change.holder = in.fixed<std::uint64_t>();
  const auto time = [&] {
    const auto ns = in.fixed<std::int64_t>();
    in.require(ns != 0, "a time of 0, which is none");
    return ns;
  };
  if ((parts & kStarted) != 0) change.started_ns = time();
  if ((parts & kFinished) != 0) change.finished_ns = time();
  return change;
}

struct RecordWriter {
  ByteWriter& out;

  Status operator()(const HolderRecord& holder) const {
    DAYBREAK_TRY(check_record_name(holder.host, "a host's name"));
    out.u8(static_cast<std::uint8_t>(holder.sign))
        .fixed<std::int64_t>(holder.interval_ns)
        .text(holder.host)
        .varint(holder.pid);
    return {};
  }
  Status operator()(const BeatRecord&) const { return {}; }
  Status operator()(const CreateStudyRecord& study) const {
    DAYBREAK_TRY(check_record_name(study.name, "a study's name"));
    if (study.directions.empty() || study.directions.size() > kMaxDirections) {
      return fail(Code::kInvalidArgument, "{} directions: at least one and at most {}", study.directions.size(),
                  kMaxDirections);
    }
    out.text(study.name).varint(study.directions.size());
    for (const Direction direction : study.directions) out.u8(static_cast<std::uint8_t>(direction));
    return {};
  }
  Status operator()(const DeleteStudyRecord& study) const {
    out.varint(study.study);
    return {};
  }
  Status operator()(const ChangeStudyRecord& study) const {
    out.varint(study.study);
    return write_attributes(out, study.attributes);
  }
  Status operator()(const CreateTrialRecord& trial) const {
    out.varint(trial.study);
    return write_change(out, trial.change);
  }
  Status operator()(const ChangeTrialRecord& trial) const {
    out.varint(trial.trial);
    return write_change(out, trial.change);
  }
};

HolderRecord read_holder(ByteReader& in) {
  HolderRecord holder;
  const std::uint8_t sign = in.u8();
  in.require(sign <= 1, "a sign of life of a third kind");
  holder.sign = static_cast<HolderRecord::Sign>(sign & 1U);
  holder.interval_ns = in.fixed<std::int64_t>();
  holder.host = in.text(0, kMaxNameBytes, "host");
  holder.pid = static_cast<std::uint32_t>(in.varint(0, UINT32_MAX, "pid"));
  return holder;
}

CreateStudyRecord read_create_study(ByteReader& in) {
  CreateStudyRecord study;
  study.name = in.text(0, kMaxNameBytes, "name");
  for (std::uint64_t left = in.varint(1, kMaxDirections, "directions"); left > 0 && in.ok(); --left) {
    const std::uint8_t direction = in.u8();
    in.require(direction <= 2, "a direction that is none");
    study.directions.push_back(static_cast<Direction>(direction));
  }
  return study;
}

std::uint32_t read_study(ByteReader& in) {
  return static_cast<std::uint32_t>(in.varint(0, UINT32_MAX, "study"));
}

}  // namespace

Result<std::string> encode_record(const Record& record) {
  ByteWriter out;
  out.fixed<std::uint64_t>(record.holder).varint(record.sequence);
  DAYBREAK_TRY(std::visit(RecordWriter{out}, record.body));
  return out.take();
}

Result<Record> decode_record(std::uint32_t kind, std::string_view bytes) {
  ByteReader in(bytes, "a record of studies");
  Record record;
  record.holder = in.fixed<std::uint64_t>();
  record.sequence = in.varint(0, UINT64_MAX, "sequence");
  switch (static_cast<RecordKind>(kind)) {
    case RecordKind::kHolder: record.body = read_holder(in); break;
    case RecordKind::kBeat: record.body = BeatRecord{}; break;
    case RecordKind::kCreateStudy: record.body = read_create_study(in); break;
    case RecordKind::kDeleteStudy: record.body = DeleteStudyRecord{read_study(in)}; break;
    case RecordKind::kChangeStudy: {
      const std::uint32_t study = read_study(in);
      record.body = ChangeStudyRecord{study, read_attributes(in)};
      break;
    }
    case RecordKind::kCreateTrial: {
      const std::uint32_t study = read_study(in);
      record.body = CreateTrialRecord{study, read_change(in)};
      break;
    }
    case RecordKind::kChangeTrial: {
      const std::uint64_t trial = in.varint(0, UINT64_MAX, "trial");
      record.body = ChangeTrialRecord{trial, read_change(in)};
      break;
    }
    default:
      return fail(Code::kFailedPrecondition,
                  "a record of kind {}: only a newer version of Daybreak knows it, use that one", kind);
  }
  DAYBREAK_TRY(in.finish());
  return record;
}

}  // namespace daybreak::tune
