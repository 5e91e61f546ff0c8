#include "geometry/hull.h"

#include <algorithm>

namespace gauge {

namespace {

// One chain of the hull; `points` are in the order of the sweep.
std::vector<Point> chain(const std::vector<Point>& points) {
  std::vector<Point> result;
  for (const Point& point : points) {
    while (result.size() >= 2 && cross(result[result.size() - 2], result.back(), point) <= 0) result.pop_back();
    result.push_back(point);
  }
  return result;
}

}  // namespace

std::vector<Point> convex_hull(std::vector<Point> points) {
  if (points.size() < 3) return points;
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x != b.x ? a.x < b.x : a.y < b.y; });
  std::vector<Point> lower = chain(points);
  std::reverse(points.begin(), points.end());
  const std::vector<Point> upper = chain(points);
  lower.pop_back();
  lower.insert(lower.end(), upper.begin(), upper.end() - 1);
  return lower;
}

}  // namespace gauge
