#include "daybreak/tune/experiment_records.h"

#include "daybreak/base/bytes.h"

namespace daybreak::tune {
namespace {

using base::ByteReader;
using base::ByteWriter;

// One description of each record's fields, which a writer and a reader both follow.
struct ExperimentWriter {
  ByteWriter bytes;
  void trial(const std::uint32_t& value) { bytes.varint(value); }
  void count(const std::uint64_t& value) { bytes.varint(value); }
  void number(const double& value) { bytes.fixed<double>(value); }
  void name(const std::string& value) { bytes.text(value); }
  void text(const std::string& value) { bytes.text(value); }
  void flags(const std::uint8_t& value, std::uint8_t) { bytes.u8(value); }
  template <typename E>
  void choice(const E& value, E) {
    bytes.u8(static_cast<std::uint8_t>(value));
  }
};

struct ExperimentReader {
  ByteReader bytes;
  void trial(std::uint32_t& value) {
    value = static_cast<std::uint32_t>(bytes.varint(0, kMaxExperimentTrials - 1, "trial"));
  }
  void count(std::uint64_t& value) { value = bytes.varint(0, ~std::uint64_t{0}, "iteration"); }
  void number(double& value) { value = bytes.fixed<double>(); }
  void name(std::string& value) { value = bytes.text(0, kMaxNameBytes, "name"); }
  void text(std::string& value) { value = bytes.text(0, kMaxTextBytes, "text"); }
  void flags(std::uint8_t& value, std::uint8_t known) {
    value = bytes.u8();
    bytes.require((value & ~known) == 0, "flags of a later version");
  }
  template <typename E>
  void choice(E& value, E last) {
    const std::uint8_t byte = bytes.u8();
    bytes.require(byte <= static_cast<std::uint8_t>(last), "a state that there is not");
    value = bytes.ok() ? static_cast<E>(byte) : E{};
  }
};

void fields(auto& io, auto& r, const PlanRecord*) {
  io.text(r.text);
}
void fields(auto& io, auto& r, const TrialRecord*) {
  io.trial(r.trial);
  io.name(r.id);
  io.text(r.suggestion);
}
void fields(auto& io, auto& r, const StartRecord*) {
  io.trial(r.trial);
  io.trial(r.source);
  io.name(r.checkpoint);
}
void fields(auto& io, auto& r, const ResultRecord*) {
  io.trial(r.trial);
  io.flags(r.flags, ResultRecord::kHasScore | ResultRecord::kDone);
  io.count(r.iteration);
  io.number(r.time);
  io.number(r.score);
  io.number(r.rank);
  io.name(r.checkpoint);
  io.text(r.text);
}
void fields(auto& io, auto& r, const DecisionRecord*) {
  io.trial(r.trial);
  io.choice(r.decision, Decision::kStop);
}
void fields(auto& io, auto& r, const ExploitRecord*) {
  io.trial(r.trial);
  io.trial(r.source);
  io.name(r.checkpoint);
  io.text(r.suggestion);
}
void fields(auto& io, auto& r, const EndRecord*) {
  io.trial(r.trial);
  io.choice(r.state, TrialState::kError);
  io.text(r.error);
}
void fields(auto& io, auto& r, const CheckpointRecord*) {
  io.trial(r.trial);
  io.count(r.iteration);
  io.number(r.time);
  io.number(r.rank);
  io.name(r.checkpoint);
}
void fields(auto& io, auto& r, const ForgetRecord*) {
  io.trial(r.trial);
  io.name(r.checkpoint);
}
void fields(auto&, auto&, const UnblockRecord*) {}

template <typename Record>
base::Result<ExperimentRecord> read_experiment_record(std::string_view body) {
  ExperimentReader reader{ByteReader(body, "a record of an experiment")};
  Record record;
  fields(reader, record, static_cast<const Record*>(nullptr));
  DAYBREAK_TRY(reader.bytes.finish());
  return record;
}

template <std::size_t I = 0>
base::Result<ExperimentRecord> read_experiment_kind(std::uint32_t kind, std::string_view body) {
  if constexpr (I == std::variant_size_v<ExperimentRecord>) {
    return base::fail(base::Code::kUnimplemented,
                      "a record of kind {}, which this version does not know: a later one wrote it, use that", kind);
  } else {
    using Record = std::variant_alternative_t<I, ExperimentRecord>;
    return kind == Record::kKind ? read_experiment_record<Record>(body) : read_experiment_kind<I + 1>(kind, body);
  }
}

}  // namespace

std::uint32_t kind_of(const ExperimentRecord& record) {
  return std::visit([]<typename Record>(const Record&) { return Record::kKind; }, record);
}

std::string encoded(const ExperimentRecord& record) {
  ExperimentWriter writer;
  std::visit([&]<typename Record>(const Record& one) { fields(writer, one, static_cast<const Record*>(nullptr)); },
             record);
  return writer.bytes.take();
}

base::Result<ExperimentRecord> decoded(std::uint32_t kind, std::string_view body) {
  return read_experiment_kind(kind, body);
}

base::Status decode_result(std::string_view body, ResultRecord& result) {
  ExperimentReader reader{ByteReader(body, "a result of a trial")};
  fields(reader, result, static_cast<const ResultRecord*>(nullptr));
  return reader.bytes.finish();
}

void number_result(std::string_view body, std::uint32_t trial, std::string& numbered) {
  ByteWriter number;
  number.varint(trial);
  numbered.assign(number.bytes()).append(body.substr(1));  // 0 is one byte
}

}  // namespace daybreak::tune
