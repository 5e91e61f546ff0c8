#pragma once

#include <vector>

#include "geometry/point.h"

namespace gauge {

// The smallest convex polygon around all points, anticlockwise.
std::vector<Point> convex_hull(std::vector<Point> points);

}  // namespace gauge
