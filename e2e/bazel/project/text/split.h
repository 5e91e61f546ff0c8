#pragma once

#include <string_view>
#include <vector>

namespace gauge {

// The pieces between separators; n separators give n + 1 pieces.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace gauge
