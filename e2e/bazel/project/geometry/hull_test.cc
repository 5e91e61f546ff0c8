#include "geometry/hull.h"
#include "testing/check.h"

int main() {
  const auto hull = gauge::convex_hull({{0, 0}, {1, 1}, {2, 0}, {2, 2}, {0, 2}, {1, 0}});
  CHECK(hull.size() == 4);
  CHECK(gauge::convex_hull({{1, 1}}).size() == 1);
  return CHECK_RESULT();
}
