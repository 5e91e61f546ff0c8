#pragma once

#include <string>
#include <vector>

namespace gauge {

// Columns padded to their widest cell, one line a row.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace gauge
