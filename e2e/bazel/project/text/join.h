#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gauge {

std::string join(const std::vector<std::string>& pieces, std::string_view separator);

}  // namespace gauge
