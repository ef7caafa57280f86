// The most threads that set_threads() accepts.
#pragma once

namespace kvpress {

/// A few for each core: more only cost time, and thousands exhaust the process.
int max_threads();

}  // namespace kvpress
