#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gauge {

using Row = std::vector<std::string>;

// Rows of comma-separated fields; a field in double quotes may hold commas, and "" stands for one quote.
std::vector<Row> parse_csv(std::string_view text);

}  // namespace gauge
