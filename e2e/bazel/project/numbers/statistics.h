#pragma once

#include <vector>

namespace gauge {

double mean(const std::vector<double>& values);
double median(std::vector<double> values);

}  // namespace gauge
