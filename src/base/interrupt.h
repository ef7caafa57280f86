// Ctrl-C: a flag that the signal handler sets and long work looks at, so that a run ends within a second and its files
// stay whole.
#pragma once

namespace kvpress {

/// SIGINT and SIGTERM set the flag from now on; a second one ends the process at once.
void install_interrupt_handler();

/// Throws Interrupted when the flag is set. Cheap: call it once per layer or block.
void check_interrupt();

}  // namespace kvpress
