#include "text/table.h"

#include "text/join.h"

namespace gauge {

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    if (row.size() > widths.size()) widths.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      if (row[i].size() > widths[i]) widths[i] = row[i].size();
    }
  }
  std::string result;
  for (auto row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) row[i].resize(widths[i], ' ');
    result += join(row, "  ") + "\n";
  }
  return result;
}

}  // namespace gauge
