#include <fstream>
#include <sstream>

#include "testing/check.h"
#include "text/csv.h"
#include "text/table.h"

int main() {
  // Bazel starts tests at the root of their runfiles.
  std::ifstream file("text/testdata/planets.csv");
  std::stringstream text;
  text << file.rdbuf();
  const auto rows = gauge::parse_csv(text.str());
  CHECK(rows.size() == 9);
  CHECK(rows.size() > 5 && rows[5][0] == "Jupiter");

  const auto quoted = gauge::parse_csv("\"a,b\",\"say \"\"hi\"\"\"\n");
  CHECK(quoted.size() == 1 && quoted[0].size() == 2);
  CHECK(quoted[0][0] == "a,b" && quoted[0][1] == "say \"hi\"");

  CHECK(gauge::format_table({{"a", "1"}, {"long", "2"}}) == "a     1\nlong  2\n");
  return CHECK_RESULT();
}
