package addon

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. As text it may carry a unit of 1024: "64MB",
// "64 MiB", "512k".
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.ToLower(strings.TrimSpace(string(b)))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "b"), "i")
	shift := 0
	if n := len(text); n > 0 {
		if i := strings.IndexByte("kmgt", text[n-1]); i >= 0 {
			shift, text = 10*(i+1), strings.TrimSpace(text[:n-1])
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	f = math.Ldexp(f, shift)
	if err != nil || math.IsNaN(f) || f < 0 || f >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size", b)
	}
	*s = Size(f)
	return nil
}

func (s Size) String() string {
	for i, unit := range []string{"GB", "MB", "KB"} {
		if div := Size(1) << (30 - 10*i); s >= div && s%div == 0 {
			return fmt.Sprintf("%d%s", s/div, unit)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Duration is a span of time: "30s", "1h30m", "7d" or, as a bare number, seconds.
type Duration time.Duration

// Std returns the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	text := strings.ToLower(strings.TrimSpace(string(b)))
	unit, number := time.Second, text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		unit, number = 24*time.Hour, strings.TrimSpace(days)
	}
	if f, err := strconv.ParseFloat(number, 64); err == nil {
		f *= float64(unit)
		if math.IsNaN(f) || f < 0 || f >= math.MaxInt64 {
			return fmt.Errorf("%q is not a duration", b)
		}
		*d = Duration(f)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration", b)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return d.Std().String() }

func seconds(n int64) Duration { return Duration(n) * Duration(time.Second) }
