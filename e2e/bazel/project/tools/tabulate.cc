// Comma-separated values in, aligned columns out.
#include <cstdio>
#include <string>

#include "text/csv.h"
#include "text/table.h"

int main() {
  std::string text;
  for (int c = std::getchar(); c != EOF; c = std::getchar()) text += static_cast<char>(c);
  std::fputs(gauge::format_table(gauge::parse_csv(text)).c_str(), stdout);
  return 0;
}
