package brokertest

import (
	"math"
	"time"
)

// KolmogorovSmirnov returns how likely it is that two sorted samples of the same
// distribution differ as much as these, by the limit for large samples.
func KolmogorovSmirnov(a, b []time.Duration) float64 {
	var most float64
	for i, j := 0, 0; i < len(a) && j < len(b); {
		x := min(a[i], b[j])
		for i < len(a) && a[i] <= x {
			i++
		}
		for j < len(b) && b[j] <= x {
			j++
		}
		most = max(most, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	size := float64(len(a)*len(b)) / float64(len(a)+len(b))
	lambda := most * math.Sqrt(size)
	if lambda < 0.2 { // the series does not converge there, and the answer is 1
		return 1
	}
	var p float64
	for k, sign := 1, 2.0; k <= 100; k, sign = k+1, -sign {
		p += sign * math.Exp(-2*float64(k*k)*lambda*lambda)
	}
	return min(max(p, 0), 1)
}
