#include "geometry/polygon.h"

#include <cstddef>

namespace gauge {

double area(const std::vector<Point>& corners) {
  double twice = 0;
  for (size_t i = 1; i + 1 < corners.size(); ++i) twice += cross(corners[0], corners[i], corners[i + 1]);
  return (twice < 0 ? -twice : twice) / 2;
}

}  // namespace gauge
