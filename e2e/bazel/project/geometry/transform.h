#pragma once

#include <vector>

#include "geometry/point.h"

namespace gauge {

std::vector<Point> translated(std::vector<Point> points, const Point& by);
std::vector<Point> scaled(std::vector<Point> points, double factor);

}  // namespace gauge
