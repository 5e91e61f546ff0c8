#pragma once

#include <string>
#include <string_view>

namespace gauge {

bool is_space(char c);
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

}  // namespace gauge
