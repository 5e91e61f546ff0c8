#pragma once

#include <vector>

#include "geometry/point.h"

namespace gauge {

// The area inside corners given in either direction.
double area(const std::vector<Point>& corners);

}  // namespace gauge
