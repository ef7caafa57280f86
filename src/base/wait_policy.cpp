#include "base/wait_policy.h"

#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace kvpress {

void restart_with_short_spin(char** argv) {
  for (const char* chosen : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) {
    if (std::getenv(chosen) != nullptr) return;
  }
  // About ten microseconds: as long as a parallel loop's end takes to reach all threads of an idle machine.
  if (::setenv("GOMP_SPINCOUNT", "5000", 0) != 0) return;
  ::execv("/proc/self/exe", argv);  // where that fails the run goes on as it is
}

}  // namespace kvpress
