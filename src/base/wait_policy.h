// How OpenMP threads wait for work.
#pragma once

namespace kvpress {

/// Threads of GNU OpenMP spin for a long time before they sleep. If other programs use the cores, this slows a run down
/// many times, since a spinning thread occupies a core that another thread needs. The library reads its environment
/// before main(), so this restarts the program with a short spin, unless the user has set a policy. Call it first in
/// main().
void restart_with_short_spin(char** argv);

}  // namespace kvpress
