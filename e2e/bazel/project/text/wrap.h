#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gauge {

// Words filled into lines of at most `width`; a longer word has a line of its own.
std::vector<std::string> wrap(std::string_view text, size_t width);

}  // namespace gauge
