// How native code of two rooms meets without an include of each other: small versioned C structs of function pointers,
// passed as PyCapsules (as Arrow and DLPack do). A capsule's name is the name of the struct with dots; its pointer is
// the struct. The layout of a version never changes: what needs another layout is another version.
//
// Rules for every struct here:
// - `size_bytes` is sizeof the struct as its maker knew it; a reader refuses one that is smaller than it knows.
// - The struct and `context` live until the last release(). Who takes a capsule's pointer calls retain() at once and
//   release() when done; both may be called from any thread, and without the GIL.
// - All functions may be called from any thread at the same time, never call into Python, never throw.
// - Strings and bytes are borrowed for the call.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

typedef struct daybreak_bytes {
  const void* data;
  size_t size_bytes;
} daybreak_bytes;

// ---- "daybreak.model.v1": a model that a server runs in process. Made by `rl.Policy`, read by `serve`.

#define DAYBREAK_MODEL_V1 "daybreak.model.v1"

enum daybreak_model_dtype { DAYBREAK_MODEL_FLOAT32 = 1, DAYBREAK_MODEL_INT32 = 2 };

typedef struct daybreak_model_v1 {
  uint64_t size_bytes;
  void* context;
  void (*retain)(void* context);
  void (*release)(void* context);
  const char* description;  // one line for people, UTF-8
  int32_t input_dtype;      // enum daybreak_model_dtype
  int32_t output_dtype;
  uint64_t input_elements;  // of one sample
  uint64_t output_elements;
  // `count` samples, row-major and dense, to `count` outputs. 0, or a canonical error code (base::Code) with a
  // sentence, cut to fit and ended by 0, in `error`. Deterministic.
  int32_t (*predict)(void* context, const void* inputs, uint64_t count, void* outputs, char* error,
                     size_t error_size_bytes);
} daybreak_model_v1;

// ---- "daybreak.gate.v1": may this caller do this? Made by `grant`, read by `serve`.

#define DAYBREAK_GATE_V1 "daybreak.gate.v1"

enum daybreak_gate_code {
  DAYBREAK_GATE_ALLOWED = 0,
  DAYBREAK_GATE_NO_PROOF = 1,  // nothing, or not enough, was presented
  DAYBREAK_GATE_NOT_GRANTED = 2,
  DAYBREAK_GATE_EXPIRED = 3,
  DAYBREAK_GATE_NOT_YET = 4,
  DAYBREAK_GATE_REVOKED = 5,
  DAYBREAK_GATE_REVOCATION_STALE = 6,  // the revocation store could not be read recently enough
  DAYBREAK_GATE_REPLAYED = 7,          // a nonce seen before, or the request is outside its time window
  DAYBREAK_GATE_MALFORMED = 8,
};

// What a caller asks for and what it presents. Times are nanoseconds since 1970-01-01 UTC.
typedef struct daybreak_gate_request_v1 {
  daybreak_bytes permission;  // "predict"
  daybreak_bytes resource;    // "apps/pong"
  daybreak_bytes origin;      // of the page that calls, or empty
  daybreak_bytes app;         // the server's name for what is called
  // A session token (32 bytes), or empty; with one, nothing below is read.
  daybreak_bytes session;
  // A signed request.
  daybreak_bytes method;          // "POST"
  daybreak_bytes path_and_query;  // "/pong/predict"
  daybreak_bytes body_sha256;     // 32 bytes
  daybreak_bytes proof;           // encoded
  int64_t issued_at_ns;
  daybreak_bytes nonce;      // 16 bytes; for open_session the challenge, 32 bytes
  daybreak_bytes signature;  // 64 bytes
} daybreak_gate_request_v1;

typedef struct daybreak_gate_decision_v1 {
  int32_t code;           // enum daybreak_gate_code
  uint8_t subject[32];    // id of the entity that proved itself; zeros when none did
  int64_t expires_at_ns;  // the decision holds no longer than this; 0 when denied
} daybreak_gate_decision_v1;

typedef struct daybreak_gate_v1 {
  uint64_t size_bytes;
  void* context;
  void (*retain)(void* context);
  void (*release)(void* context);
  // How old the knowledge of revocations may get: a long-lived connection is checked again at least this often.
  int64_t staleness_bound_ns;
  // A warm check (a live session, or a proof verified before) allocates nothing.
  void (*check)(void* context, const daybreak_gate_request_v1* request, daybreak_gate_decision_v1* decision);
  // A single-use challenge of 32 bytes for (origin, app). 0, or a canonical error code when too many are open.
  int32_t (*challenge)(void* context, daybreak_bytes origin, daybreak_bytes app, uint8_t out[32]);
  // A session for whoever signs the challenge and proves (permission, resource). On DAYBREAK_GATE_ALLOWED `token` is
  // written. `request`: permission, resource, origin, app, proof, nonce = the challenge, signature are read.
  void (*open_session)(void* context, const daybreak_gate_request_v1* request, uint8_t token[32],
                       daybreak_gate_decision_v1* decision);
  void (*close_session)(void* context, daybreak_bytes token);
  // For the log of the server's owner, never for the wire: the last sentence of why, cut to fit, of this thread's last
  // denied check.
  void (*explain)(void* context, char* out, size_t out_size_bytes);
} daybreak_gate_v1;

}  // extern "C"
