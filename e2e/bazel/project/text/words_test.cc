#include "testing/check.h"
#include "text/ascii.h"
#include "text/join.h"
#include "text/split.h"
#include "text/trim.h"
#include "text/wrap.h"

int main() {
  CHECK(gauge::to_upper("Nail 9") == "NAIL 9");
  CHECK(gauge::to_lower("Nail 9") == "nail 9");
  CHECK(gauge::trim(" \t hoof \n") == "hoof");
  CHECK(gauge::trim("   ").empty());
  CHECK(gauge::split("a,,b", ',').size() == 3);
  CHECK(gauge::join({"x", "y", "z"}, "+") == "x+y+z");
  const auto lines = gauge::wrap("the quick brown fox jumps", 10);
  CHECK(lines.size() == 3);
  CHECK(lines[0] == "the quick");
  return CHECK_RESULT();
}
