// Reads points, one "x y" a line; prints the area of their convex hull.
#include <cstdio>
#include <vector>

#include "geometry/hull.h"
#include "geometry/polygon.h"

int main() {
  std::vector<gauge::Point> points;
  gauge::Point point;
  while (std::scanf("%lf %lf", &point.x, &point.y) == 2) points.push_back(point);
  std::printf("%.3f\n", gauge::area(gauge::convex_hull(points)));
  return 0;
}
