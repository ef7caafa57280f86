// Ctrl-C: the signal handler sets a flag that long work checks, so that a run ends within a second and its files stay
// complete.
#pragma once

namespace kvpress {

/// From now on SIGINT and SIGTERM set the flag; a second signal ends the process immediately.
void install_interrupt_handler();

/// Throws Interrupted if the flag is set. It is cheap: call it once per layer or block.
void check_interrupt();

}  // namespace kvpress
