#include "daybreak/tune/records.h"

#include <gtest/gtest.h>

#include <string>

#include "daybreak/tune/tests/study_fixture.h"

namespace daybreak::tune {
namespace {

using base::Code;

std::string hex_of_record(const Record& record) {
  std::string text;
  for (const char byte : good(encode_record(record))) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

Record record_of(decltype(Record::body) body) {
  return {.holder = 0x0102030405060708, .sequence = 300, .body = std::move(body)};
}

TrialChange whole_change() {
  TrialChange change;
  change.parameters = {{"x", 0.5, *Distribution::real(0, 1, false, 0.25)},
                       {"n", 4, *Distribution::whole(-2, 8, false, 2)},
                       {"c", 1, *Distribution::categorical(2), R"(["a",1])"}};
  change.reports = {{-1, 2.0}};
  change.attributes = {{"k", "1", true}};
  change.violation = 0.5;
  change.note = "ab";
  change.state = State::kComplete;
  change.values = {1.0, -1.0};
  change.holder = 7;
  change.started_ns = 1;
  change.finished_ns = 2;
  return change;
}

TEST(Records, golden_bytes_do_not_change) {
  const std::string head = "0807060504030201ac02";  // holder, sequence 300
  EXPECT_EQ(hex_of_record(record_of(HolderRecord{HolderRecord::Sign::kBeat, 5, "h", 300})), head +
                                                                                                "01"
                                                                                                "0500000000000000"
                                                                                                "0168"
                                                                                                "ac02");
  EXPECT_EQ(hex_of_record(record_of(BeatRecord{})), head);
  EXPECT_EQ(hex_of_record(record_of(CreateStudyRecord{"ab", {Direction::kMinimize, Direction::kMaximize}})),
            head +
                "026162"
                "02"
                "0102");
  EXPECT_EQ(hex_of_record(record_of(DeleteStudyRecord{3})), head + "03");
  EXPECT_EQ(hex_of_record(record_of(ChangeStudyRecord{3, {{"k", "[]", false}}})), head +
                                                                                      "03"
                                                                                      "01"
                                                                                      "00016b025b5d");
  EXPECT_EQ(hex_of_record(record_of(CreateTrialRecord{3, {}})), head +
                                                                    "03"
                                                                    "00");
  EXPECT_EQ(hex_of_record(record_of(ChangeTrialRecord{300, whole_change()})),
            head +
                "ac02"  // the trial
                "ff07"  // all parts
                "03"    // three parameters
                "0178"
                "00"
                "0000000000000000"
                "000000000000f03f"
                "000000000000d03f"
                "000000000000e03f"
                "016e"
                "01"
                "03"
                "10"
                "02"
                "0000000000001040"
                "0163"
                "0a"
                "02"
                "075b2261222c315d"
                "000000000000f03f"
                "01"
                "01"
                "0000000000000040"  // a report of step -1
                "01"
                "01016b0131"        // an attribute
                "000000000000e03f"  // violation
                "026162"            // note
                "01"                // complete
                "02"
                "000000000000f03f"
                "000000000000f0bf"
                "0700000000000000"
                "0100000000000000"
                "0200000000000000");
}

TEST(Records, come_back_as_they_were_and_no_shorter_bytes_are_one) {
  for (const Record& record :
       {record_of(HolderRecord{HolderRecord::Sign::kLock, -1, "", 0}), record_of(BeatRecord{}),
        record_of(CreateStudyRecord{"", {Direction::kNotSet}}), record_of(DeleteStudyRecord{UINT32_MAX}),
        record_of(ChangeStudyRecord{0, {{"a", "b", true}, {"", "", false}}}),
        record_of(CreateTrialRecord{1, whole_change()}), record_of(ChangeTrialRecord{UINT64_MAX, {}})}) {
    const std::string bytes = good(encode_record(record));
    const auto kind = static_cast<std::uint32_t>(record.kind());
    EXPECT_EQ(good(encode_record(good(decode_record(kind, bytes)))), bytes);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode_record(kind, bytes.substr(0, size)).has_value()) << kind << " " << size;
    }
    EXPECT_EQ(decode_record(kind, bytes + "x").error().code(), Code::kDataLoss);
  }
}

TEST(Records, of_a_newer_version_are_refused_by_their_kind) {
  for (const std::uint32_t kind : {0U, 8U, 63U}) {
    EXPECT_EQ(decode_record(kind, std::string(9, '\0')).error().code(), Code::kFailedPrecondition);
  }
}

TEST(Records, keep_to_their_limits) {
  const auto code_of = [](TrialChange change) {
    const auto bytes = encode_record(record_of(ChangeTrialRecord{1, std::move(change)}));
    return bytes ? Code{} : bytes.error().code();
  };
  TrialChange change;
  change.parameters = {{std::string(kMaxNameBytes, 'n'), 0.5, {}}};
  EXPECT_EQ(code_of(change), Code{});
  change.parameters[0].name += 'n';
  EXPECT_EQ(code_of(change), Code::kInvalidArgument);
  change = {};
  change.attributes = {{"k", std::string(kMaxAttributeBytes, ' '), false}};
  EXPECT_EQ(code_of(change), Code{});
  change.attributes[0].json += ' ';
  EXPECT_EQ(code_of(change), Code::kInvalidArgument);
  change = {};
  change.note = std::string(kMaxNoteBytes + 1, ' ');
  EXPECT_EQ(code_of(change), Code::kInvalidArgument);
  change = {};
  change.values.resize(kMaxDirections + 1);
  EXPECT_EQ(code_of(change), Code::kInvalidArgument);
  change = {};
  change.reports.resize(kMaxChangeItems + 1);
  EXPECT_EQ(code_of(change), Code::kInvalidArgument);
}

}  // namespace
}  // namespace daybreak::tune
