// Counts the words of standard input, most frequent first.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "text/ascii.h"
#include "text/split.h"
#include "text/trim.h"

int main() {
  std::string text;
  for (int c = std::getchar(); c != EOF; c = std::getchar()) text += gauge::is_space(static_cast<char>(c)) ? ' ' : static_cast<char>(c);
  std::map<std::string, int> counts;
  for (std::string_view piece : gauge::split(text, ' ')) {
    const auto word = gauge::trim(piece);
    if (!word.empty()) ++counts[gauge::to_lower(word)];
  }
  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [word, count] : sorted) std::printf("%d %s\n", count, word.c_str());
  return 0;
}
