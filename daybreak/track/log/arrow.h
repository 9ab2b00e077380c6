// The series of a run as an Arrow stream.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "daybreak/tensor/arrow/abi.h"
#include "daybreak/track/log/run.h"

namespace daybreak::track {

inline constexpr std::size_t kArrowBatchRows = 65'536;

// Batches of at most kArrowBatchRows rows: name (dictionary of text), step (int64), time (timestamp[ns, UTC]), value
// (double), series after series in the order given, read from disk as they are asked for. The consumer releases *out.
void export_stream(std::shared_ptr<const RunReader> run, std::vector<SeriesKey> series, ArrowArrayStream* out);

}  // namespace daybreak::track
