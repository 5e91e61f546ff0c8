#include "geometry/polygon.h"
#include "geometry/transform.h"
#include "testing/check.h"

int main() {
  const std::vector<gauge::Point> square = {{0, 0}, {2, 0}, {2, 2}, {0, 2}};
  CHECK(gauge::area(square) == 4);
  CHECK(gauge::area(gauge::translated(square, {5, -3})) == 4);
  CHECK(gauge::area(gauge::scaled(square, 3)) == 36);
  CHECK(gauge::area({}) == 0);
  return CHECK_RESULT();
}
