// A plugin that says it was built with other headers.
#include "kvpress/press/plugin.h"

extern "C" __attribute__((visibility("default"))) const kvpress::Plugin* kvpress_plugin() {
  static const kvpress::Plugin plugin{{.version = 0}, {}};
  return &plugin;
}
