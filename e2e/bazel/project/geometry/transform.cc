#include "geometry/transform.h"

namespace gauge {

std::vector<Point> translated(std::vector<Point> points, const Point& by) {
  for (Point& point : points) point = {point.x + by.x, point.y + by.y};
  return points;
}

std::vector<Point> scaled(std::vector<Point> points, double factor) {
  for (Point& point : points) point = {point.x * factor, point.y * factor};
  return points;
}

}  // namespace gauge
