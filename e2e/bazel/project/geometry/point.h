#pragma once

namespace gauge {

struct Point {
  double x = 0;
  double y = 0;
};

// Twice the signed area of the triangle: positive when a, b, c turn left.
double cross(const Point& a, const Point& b, const Point& c);

}  // namespace gauge
