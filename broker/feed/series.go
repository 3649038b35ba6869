package feed

import (
	"time"

	"hearthmq/broker/feed/payload"
)

// maxSeriesBytes bounds the payload bytes that one question for a series reads.
const maxSeriesBytes = 8 << 20

// Point is what a number was during a part of a series.
type Point struct {
	At        time.Time // of the last one in it
	Min, Max  float64
	Last      float64
	Count     int
	FirstSeen time.Time
}

// Series is a number in a topic's payloads over time.
type Series struct {
	Points []Point
	Count  int       // numbers
	Missed int       // messages that have no number there
	From   time.Time // of the oldest message looked at
}

// Series finds the number at path in each kept message of a topic, reduced to at
// most that many points of equal length; see payload.Number.
func (f *Feed) Series(topicName string, path []string, points int) (Series, error) {
	h, err := f.History(topicName)
	if err != nil {
		return Series{}, err
	}
	samples := h.Samples
	for i, bytes := len(samples)-1, 0; i >= 0; i-- {
		if bytes += len(samples[i].Payload); bytes > maxSeriesBytes {
			samples = samples[i+1:]
			break
		}
	}
	var s Series
	if len(samples) == 0 {
		return s, nil
	}
	s.From = samples[0].At
	span := samples[len(samples)-1].At.Sub(s.From)
	bucket := -1
	for _, x := range samples {
		n, ok := payload.Number(topicName, x.Payload, path)
		if !ok {
			s.Missed++
			continue
		}
		s.Count++
		at := 0
		if span > 0 {
			at = int(float64(x.At.Sub(s.From)) / float64(span) * float64(points-1))
		}
		if at == bucket && len(samples) > points {
			p := &s.Points[len(s.Points)-1]
			p.Min, p.Max, p.Last, p.At = min(p.Min, n), max(p.Max, n), n, x.At
			p.Count++
			continue
		}
		bucket = at
		s.Points = append(s.Points, Point{At: x.At, FirstSeen: x.At, Min: n, Max: n, Last: n, Count: 1})
	}
	return s, nil
}
