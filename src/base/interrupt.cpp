#include "kvpress/base/interrupt.h"

#include <csignal>
#include <cstdlib>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

volatile std::sig_atomic_t interrupted = 0;

extern "C" void on_signal(int /*signal*/) {
  if (interrupted != 0) std::_Exit(130);
  interrupted = 1;
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void check_interrupt() {
  if (interrupted != 0) throw Interrupted();
}

}  // namespace kvpress
