// Threads: how many, and loops over them. OpenMP's pool, which oneDNN uses too.
#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>
#include <string>

namespace kvpress {

/// The cores this process may run on (its affinity), or what control groups leave it, if less. At least 1.
int available_cores();

/// 0 means available_cores(). Holds for every later parallel loop and for oneDNN. Throws UsageError naming `option`
/// for a negative number.
void set_threads(int n);
int threads();

/// Calls body(i) for i in [0, n), spread over the threads as they come free. Throws one of what the bodies threw, after
/// all have been called.
template <typename Body>
void parallel_for(std::int64_t n, Body&& body) {
  if (n <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  std::exception_ptr thrown;  // what leaves an OpenMP region would end the program
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < n; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(kvpress_parallel_for)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

/// "AMD EPYC 9B14", as the machine names its processor.
std::string cpu_name();

}  // namespace kvpress
