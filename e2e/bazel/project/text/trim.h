#pragma once

#include <string_view>

namespace gauge {

// Without white space at either end.
std::string_view trim(std::string_view text);

}  // namespace gauge
