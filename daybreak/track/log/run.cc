#include "daybreak/track/log/run.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <unordered_set>

#include "daybreak/track/log/files.h"

namespace daybreak::track {

using base::Code;
using base::fail;

namespace {

constexpr int kLooks = 16;  // at files that are sealed and removed while we look
// Logs that a snapshot holds open; the points of more are read at once, so that no number of dead writers takes all
// descriptors of the process.
constexpr std::size_t kMaxOpenTails = 64;

struct Names {
  std::vector<std::string> columns, logs, temporary;
  std::vector<std::string> done;  // logs whose columns are there
};

Names sort_names(const std::vector<std::string>& all) {
  read_work().names.fetch_add(all.size(), std::memory_order_relaxed);
  Names names;
  std::unordered_set<std::string_view> sealed;
  for (const std::string& name : all) {
    if (parse_segment_name(name, ".col")) {
      names.columns.push_back(name);
      sealed.insert(std::string_view(name).substr(0, name.size() - 4));
    }
  }
  for (const std::string& name : all) {
    if (name.ends_with(".tmp")) names.temporary.push_back(name);
    // A log beside its columns is what is left when its writer died between the last two steps of sealing.
    if (parse_segment_name(name, ".log")) {
      const bool done = sealed.contains(std::string_view(name).substr(0, name.size() - 4));
      (done ? names.done : names.logs).push_back(name);
    }
  }
  return names;
}

std::string run_directory(const std::string& root, const RunId& id) {
  return root + "/runs/" + id.to_string();
}
std::string mark_path(const std::string& root, const RunId& id, std::uint64_t writer) {
  return fmt::format("{}/open/{}/{:016x}", root, id.to_string(), writer);
}

// Of a dead writer.
base::Result<SegmentData> read_segment(const std::string& directory, const std::string& name) {
  static const auto boot = boot_id();
  DAYBREAK_ASSIGN(const FileHandle file, FileHandle::open_to_read(directory + "/" + name));
  DAYBREAK_ASSIGN(const std::uint64_t size, file.size());
  if (size > kMaxSegmentBytes)
    return fail(Code::kDataLoss, "{}: {} bytes, the limit is {}", name, size, kMaxSegmentBytes);
  DAYBREAK_ASSIGN(const std::string bytes, file.read(0, size));
  auto header = decode_header(bytes);
  if (!header) return std::unexpected(std::move(header).error().wrap(name));
  return parse_segment(bytes, name, header->boot_id == boot ? Tail::kKilled : Tail::kPowerLost);
}

std::uint64_t number_or_zero(std::string_view text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? value : 0;
}

}  // namespace

std::string_view status_name(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning: return "running";
    case RunStatus::kFinished: return "finished";
    case RunStatus::kFailed: return "failed";
    case RunStatus::kKilled: return "killed";
  }
  return "killed";
}

base::Result<std::vector<std::uint64_t>> living_writers(const std::string& root, const RunId& id) {
  std::vector<std::uint64_t> living;
  const std::string directory = root + "/open/" + id.to_string();
  const auto names = base::Env::real().list_directory(directory);
  if (!names) {
    if (names.error().code() == Code::kNotFound) return living;
    return std::unexpected(names.error());
  }
  for (const std::string& name : *names) {
    std::uint64_t writer = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, writer, 16);
    if (parsed.ec != std::errc() || parsed.ptr != end) continue;
    const auto locked = is_locked(directory + "/" + name);
    if (locked && *locked) living.push_back(writer);
  }
  return living;
}

base::Result<RunReader> RunReader::open(const std::string& root, const RunId& id) {
  for (int look = 0; look < kLooks; ++look) {
    RunReader reader;
    reader.state_.id = id;
    DAYBREAK_ASSIGN(const bool whole, reader.load_all(root));
    if (whole) return reader;
  }
  return fail(Code::kAborted, "run {}: its files changed {} times while they were read", id.to_string(), kLooks);
}

base::Result<bool> RunReader::load_all(const std::string& root) {
  const std::string directory = run_directory(root, state_.id);
  // Who lives is asked first: one who dies meanwhile has written everything that we shall read.
  DAYBREAK_ASSIGN(const auto alive, living_writers(root, state_.id));
  const std::unordered_set<std::uint64_t> living(alive.begin(), alive.end());
  auto listed = base::Env::real().list_directory(directory);
  if (!listed) return fail(listed.error().code(), "there is no run {}", state_.id.to_string());
  const Names names = sort_names(*listed);
  std::vector<Event> events;
  std::vector<std::pair<std::uint64_t, bool>> writers;  // (id, is a living owner)
  std::map<SeriesKey, Summary> summaries;
  state_.open = !living.empty() || !names.logs.empty();
  std::size_t whole_files = 0;
  std::int64_t last_ns = 0;
  const auto saw = [&](const SegmentHeader& header) {
    writers.emplace_back(header.writer, header.owner && living.contains(header.writer));
    state_.session = std::max(state_.session, header.session);
    last_ns = std::max(last_ns, header.created_ns);
    ++whole_files;
  };
  for (const std::string& name : names.columns) {
    auto file = ColumnFile::open(directory, name);
    if (!file) {
      if (file.error().code() == Code::kNotFound) return false;
      state_.problems.push_back({name, -1, file.error().to_string(), false});
      continue;
    }
    saw(file->header());
    events.insert(events.end(), file->events().begin(), file->events().end());
    state_.problems.insert(state_.problems.end(), file->problems().begin(), file->problems().end());
    for (const ColumnSeries& series : file->series()) {
      summaries[series.key].merge(series.summary);
      last_ns = std::max(last_ns, series.summary.last.time_ns);
    }
    columns_.push_back(std::make_shared<ColumnFile>(std::move(*file)));
  }
  for (const std::string& name : names.logs) {
    const bool lives = living.contains(parse_segment_name(name, ".log")->first);
    auto tail = TailFile::open(directory, name, lives, tails_.size() < kMaxOpenTails);
    if (!tail) {
      if (tail.error().code() == Code::kNotFound) return false;
      state_.problems.push_back({name, -1, tail.error().to_string(), false});
      continue;
    }
    saw((*tail)->header());
    events.insert(events.end(), (*tail)->events().begin(), (*tail)->events().end());
    state_.problems.insert(state_.problems.end(), (*tail)->problems().begin(), (*tail)->problems().end());
    for (const TailFile::Series& series : (*tail)->series()) {
      summaries[series.key].merge(series.summary);
      last_ns = std::max(last_ns, series.summary.last.time_ns);
    }
    tails_.push_back(std::move(*tail));
  }
  // A listing may miss a file that is renamed meanwhile, under both names.
  DAYBREAK_ASSIGN(const auto again, base::Env::real().list_directory(directory));
  const std::unordered_set<std::string_view> seen = [&] {
    std::unordered_set<std::string_view> stems;
    for (const auto* listing : {&names.columns, &names.logs})
      for (const std::string& name : *listing) stems.insert(std::string_view(name).substr(0, name.size() - 4));
    return stems;
  }();
  for (const std::string& name : sort_names(again).columns) {
    if (!seen.contains(std::string_view(name).substr(0, name.size() - 4))) return false;
  }
  if (whole_files == 0 && state_.problems.empty()) {
    return fail(Code::kNotFound, "run {} has no records", state_.id.to_string());
  }
  for (const Event& event : events) last_ns = std::max(last_ns, event.time_ns);
  for (auto& [key, summary] : summaries) state_.metrics.push_back({key, summary, false});
  state_.end_ns = last_ns;  // when no status says better
  fold(std::move(events), writers);
  return true;
}

void RunReader::fold(std::vector<Event> events, const std::vector<std::pair<std::uint64_t, bool>>& writers) {
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.session, a.time_ns, a.writer, a.sequence) < std::tie(b.session, b.time_ns, b.writer, b.sequence);
  });
  const bool owner_lives = std::any_of(writers.begin(), writers.end(), [](const auto& w) { return w.second; });
  std::map<std::string, bool> lower;
  std::string status;
  const std::int64_t last_ns = std::exchange(state_.end_ns, 0);
  for (const Event& event : events) {
    const auto field = [&](std::size_t i) { return i < event.fields.size() ? event.fields[i] : std::string(); };
    switch (event.kind) {
      case EventKind::kStart:
        if (state_.start_ns == 0) {
          state_.name = field(0);
          state_.parent = field(1);
          state_.start_ns = event.time_ns;
        }
        break;
      case EventKind::kStatus:
        status = field(0);
        state_.reason = field(1);
        state_.end_ns = event.time_ns;
        break;
      case EventKind::kParam: state_.params.emplace(field(0), field(1)); break;  // the first one counts
      case EventKind::kTag: state_.tags[field(0)] = field(1); break;             // the last one counts
      case EventKind::kGoal: lower[field(0)] = field(1) == "min"; break;
      case EventKind::kArtifact:
        state_.artifacts.push_back({field(0), field(1), field(3), field(4), number_or_zero(field(2)), event.time_ns});
        break;
      case EventKind::kChild: state_.children.emplace_back(field(0), field(1)); break;
      case EventKind::kDeleted:
        state_.deleted = field(0) == "1";
        state_.deleted_ns = event.time_ns;
        break;
      case EventKind::kCapture: state_.captures.push_back({event.session, field(0), field(1)}); break;
      case EventKind::kText: state_.output.emplace_back(field(0), field(1)); break;
      case EventKind::kNotice: state_.notices.push_back(field(0)); break;
      default: break;
    }
  }
  for (Metric& metric : state_.metrics) {
    const auto goal = lower.find(metric.key.name);
    metric.lower_is_better = goal != lower.end() && goal->second;
  }
  if (status == "finished" || status == "failed" || status == "killed") {
    state_.status = status == "finished" ? RunStatus::kFinished
                    : status == "failed" ? RunStatus::kFailed
                                         : RunStatus::kKilled;
    state_.end_ns = std::max(state_.end_ns, state_.start_ns);
  } else if (owner_lives) {
    state_.status = RunStatus::kRunning;
    state_.end_ns = 0;
  } else {
    state_.status = RunStatus::kKilled;
    state_.end_ns = std::max(last_ns, state_.start_ns);
  }
}

SeriesReader RunReader::read(const SeriesKey& key, std::int64_t first_step, std::int64_t last_step) const {
  SeriesReader reader;
  reader.parts_ = std::make_shared<std::vector<SeriesReader::Part>>();
  reader.first_step_ = first_step;
  reader.last_step_ = last_step;
  for (const auto& file : columns_) {
    const ColumnSeries* const found = file->find(key);
    if (found == nullptr) continue;
    for (const Page& page : found->pages) {
      if (page.last_step < first_step || page.first_step > last_step) continue;
      SeriesReader::Part part;
      part.order = reader.parts_->size();
      part.file = file;
      part.page = page;
      part.first_step = page.first_step;
      reader.parts_->push_back(std::move(part));
    }
  }
  for (const auto& tail : tails_) {
    const TailFile::Series* const series = tail->find(key);
    if (series == nullptr || series->summary.last.step < first_step || series->summary.first_step > last_step) continue;
    SeriesReader::Part part;
    part.order = reader.parts_->size();
    part.tail = tail;
    part.series = series;
    part.first_step = series->summary.first_step;
    reader.parts_->push_back(std::move(part));
  }
  for (std::size_t i = 0; i < reader.parts_->size(); ++i) reader.heap_.push_back(i);
  std::make_heap(reader.heap_.begin(), reader.heap_.end(), SeriesReader::Later{reader.parts_.get()});
  return reader;
}

base::Status SeriesReader::Part::load() {
  if (file) {
    DAYBREAK_TRY(file->read_page(page, loaded));
    samples = loaded;
  } else {
    DAYBREAK_ASSIGN(samples, tail->samples(*series));
  }
  is_loaded = true;
  return {};
}

// A page that is not loaded comes before everything of its first step, so that it is loaded in time.
std::tuple<std::int64_t, std::int64_t, std::size_t> SeriesReader::key(const Part& part) {
  if (!part.is_loaded) return {part.first_step, INT64_MIN, part.order};
  return {part.samples[part.at].step, part.samples[part.at].time_ns, part.order};
}
bool SeriesReader::Later::operator()(std::size_t a, std::size_t b) const {
  return key((*parts)[a]) > key((*parts)[b]);
}

base::Result<bool> SeriesReader::next(std::size_t rows, std::vector<Sample>& out) {
  const Later later{parts_.get()};
  std::size_t taken = 0;
  while (!heap_.empty() && taken < rows) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Part& part = (*parts_)[heap_.back()];
    if (!part.is_loaded) {
      if (auto read = part.load(); !read) {
        heap_.pop_back();
        return std::unexpected(std::move(read).error());
      }
    } else {
      // As many as come before everything else.
      const auto limit = heap_.size() > 1 ? key((*parts_)[heap_.front()]) : std::tuple(INT64_MAX, INT64_MAX, SIZE_MAX);
      do {
        const Sample& sample = part.samples[part.at++];
        if (sample.step > last_step_) {
          part.at = part.samples.size();
        } else if (sample.step >= first_step_) {
          out.push_back(sample);
          ++taken;
        }
      } while (part.at < part.samples.size() && taken < rows && key(part) < limit);
    }
    if (part.at < part.samples.size()) {
      std::push_heap(heap_.begin(), heap_.end(), later);
    } else {
      part.loaded = {};
      heap_.pop_back();
    }
  }
  return taken != 0 || !heap_.empty();
}

base::Result<std::vector<Sample>> RunReader::preview(const SeriesKey& key, std::size_t points) const {
  std::vector<Sample> all;
  for (const auto& file : columns_) {
    if (const ColumnSeries* series = file->find(key))
      all.insert(all.end(), series->preview.begin(), series->preview.end());
  }
  for (const auto& tail : tails_) {
    const TailFile::Series* const series = tail->find(key);
    if (series == nullptr) continue;
    DAYBREAK_ASSIGN(const auto samples, tail->samples(*series));
    all.insert(all.end(), samples.begin(), samples.end());
  }
  std::stable_sort(all.begin(), all.end(), [](const Sample& a, const Sample& b) {
    return std::pair(a.step, a.time_ns) < std::pair(b.step, b.time_ns);
  });
  return downsample(all, points);
}

base::Result<RunVerified> RunReader::verify() const {
  RunVerified verified;
  verified.files = columns_.size() + tails_.size();
  verified.problems = state_.problems;
  std::vector<Sample> rows;
  for (const auto& file : columns_) {
    for (const ColumnSeries& series : file->series()) {
      for (const Page& page : series.pages) {
        rows.clear();
        if (auto read = file->read_page(page, rows); !read) {
          if (read.error().code() != Code::kDataLoss) return std::unexpected(std::move(read).error());
          verified.problems.push_back({"", -1, read.error().to_string(), false});
        }
        verified.points += rows.size();
      }
    }
  }
  for (const auto& tail : tails_) {
    for (const TailFile::Series& series : tail->series()) verified.points += series.summary.count;
  }
  return verified;
}

base::Result<std::size_t> recover(const std::string& root, const RunId& id, base::Env& env) {
  const std::string directory = run_directory(root, id);
  DAYBREAK_ASSIGN(const auto alive, living_writers(root, id));
  const std::unordered_set<std::uint64_t> living(alive.begin(), alive.end());
  DAYBREAK_ASSIGN(const auto listed, base::Env::real().list_directory(directory));
  const Names names = sort_names(listed);
  struct Left {
    std::vector<std::string> to_remove, logs;
  };
  std::map<std::uint64_t, Left> dead;
  const auto left_by = [&](const std::string& name, std::initializer_list<std::string_view> suffixes) -> Left* {
    for (const std::string_view suffix : suffixes) {
      if (const auto parsed = parse_segment_name(name, suffix); parsed && !living.contains(parsed->first))
        return &dead[parsed->first];
    }
    return nullptr;
  };
  for (const std::string& name : names.done)
    if (Left* left = left_by(name, {".log"})) left->to_remove.push_back(name);
  for (const std::string& name : names.temporary)
    if (Left* left = left_by(name, {".log.tmp", ".col.tmp"})) left->to_remove.push_back(name);
  for (const std::string& name : names.logs)
    if (Left* left = left_by(name, {".log"})) left->logs.push_back(name);
  if (dead.empty()) return 0;
  DAYBREAK_TRY(base::Env::real().create_directories(root + "/open/" + id.to_string()));
  std::size_t sealed = 0;
  for (const auto& [writer, left] : dead) {
    // Alone: nobody else puts right what this writer left. Who did so since the listing has removed files of it, or has
    // written columns beside a log, which come out the same again.
    const auto alone = lock_for_repair(mark_path(root, id, writer), false);
    if (!alone) continue;
    const auto lives = is_locked(mark_path(root, id, writer));
    if (!lives || *lives) continue;
    for (const std::string& name : left.to_remove) {
      const auto removed = base::Env::real().remove_file(directory + "/" + name);
      if (!removed && removed.error().code() != Code::kNotFound) return std::unexpected(removed.error());
    }
    for (const std::string& name : left.logs) {
      auto data = read_segment(directory, name);
      if (!data) continue;
      const auto damaged = [](const Problem& problem) { return !problem.torn; };
      if (std::any_of(data->problems.begin(), data->problems.end(), damaged)) continue;
      for (const Problem& problem : data->problems) {
        data->events.push_back({EventKind::kNotice,
                                writer,
                                data->header.session,
                                UINT64_MAX,
                                data->header.created_ns,
                                {"torn end: " + problem.to_string()}});
      }
      DAYBREAK_TRY(seal_segment(directory, *data, env));
      ++sealed;
    }
  }
  return sealed;
}

}  // namespace daybreak::track
