// How threads wait for each other.
#pragma once

namespace kvpress {

/// GNU OpenMP's threads spin for long before they sleep: beside any other work on the machine that costs many times the
/// run itself, since the core that a thread spins on is the one another needs. The library reads its environment before
/// main(), so this starts the program anew with a short spin, unless the user has chosen. Call it first in main().
void restart_with_short_spin(char** argv);

}  // namespace kvpress
