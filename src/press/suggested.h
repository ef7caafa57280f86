// Every method once, as it is taken when nothing else is said: what `kvpress compare --presses all` runs.
#pragma once

#include <string>
#include <vector>

namespace kvpress {

/// Presses in the notation of parse_press(). Those with trained parts are among them: whether they can run is told by
/// Press::prepare().
std::vector<std::string> suggested_presses();

}  // namespace kvpress
