#include "text/wrap.h"

#include "text/split.h"
#include "text/trim.h"

namespace gauge {

std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  std::string line;
  for (std::string_view piece : split(text, ' ')) {
    const std::string_view word = trim(piece);
    if (word.empty()) continue;
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      lines.push_back(line);
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

}  // namespace gauge
