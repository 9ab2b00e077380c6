// Items that lie joined, a chunk's inputs or its results: what batch.cc and chunk.cc share.
#pragma once

#include <string>

#include "daybreak/runtime/batch.h"
#include "daybreak/runtime/python/common.h"

namespace daybreak::runtime::python {

// How a call of a chunk ended: a byte before what it gave. kCallUnreadable: its input could not be unpickled.
inline constexpr char kCallReturned = 0, kCallRaised = 1, kCallUnreadable = 2;

// Appends the item's bytes, if they may lie among others and do not make more than `limit` together; false: it is to be an
// object of its own.
bool append_plain(const Payload& payload, std::string& to, std::size_t limit);
// An object with one local reference; kNoRef with an exception set.
Ref put_encoded(Client& client, const Payload& payload);
// run_chunk(), which workers run.
bool init_chunks(PyObject* module);

}  // namespace daybreak::runtime::python
