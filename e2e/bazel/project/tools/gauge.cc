// A line from every part of the toolkit.
#include <cstdio>

#include "geometry/hull.h"
#include "geometry/polygon.h"
#include "geometry/transform.h"
#include "numbers/prime_table.h"
#include "numbers/rational.h"
#include "numbers/roman.h"
#include "numbers/statistics.h"
#include "text/distance.h"
#include "text/table.h"
#include "text/wrap.h"

int main() {
  const std::vector<gauge::Point> square = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  const std::string ratio = (gauge::Rational(1, 3) + gauge::Rational(1, 6)).text();
  const std::string area = std::to_string(gauge::area(gauge::convex_hull(gauge::scaled(square, 3))));
  std::fputs(gauge::format_table({
                                     {"primes", std::to_string(gauge::prime_table_length)},
                                     {"ratio", ratio},
                                     {"roman", gauge::to_roman(2026)},
                                     {"median", std::to_string(gauge::median({3, 1, 2}))},
                                     {"area", area},
                                     {"distance", std::to_string(gauge::edit_distance("forge", "gorge"))},
                                     {"lines", std::to_string(gauge::wrap("a horse shoe needs eight nails", 12).size())},
                                 })
                 .c_str(),
             stdout);
  return 0;
}
