// The number of threads and parallel loops. Uses OpenMP's thread pool, which oneDNN shares.
#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>
#include <string>

namespace kvpress {

/// The number of cores that the affinity of this process and its control groups allow. At least 1.
int available_cores();

/// Sets the number of threads of later parallel loops and of oneDNN; 0: OMP_NUM_THREADS, else available_cores(). Throws
/// UsageError if n is negative, or more than a few per core.
void set_threads(int n);
int threads();

/// Calls body(i) for i in [0, n), distributed dynamically over the threads. After all calls, rethrows one of the
/// exceptions that the body has thrown.
template <typename Body>
void parallel_for(std::int64_t n, Body&& body) {
  if (n <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  std::exception_ptr thrown;  // an exception that leaves an OpenMP region would end the program
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

/// The name of the processor, such as "AMD EPYC 9B14".
std::string cpu_name();

}  // namespace kvpress
