package main

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker"
	"hearthmq/broker/feed"
)

// loadHistories takes over the topics whose histories are kept. Without them the
// broker works all the same.
func (s *server) loadHistories(d broker.Durability) {
	if d == broker.Memory || s.unkept != nil {
		return
	}
	if err := s.feed.LoadPins(context.Background(), s.db.Histories()); err != nil {
		s.log.Error("kept histories of topics can't be read", "err", err)
	}
}

// keepHistories stores what is new of them until ctx ends.
func (s *server) keepHistories(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error {
		s.feed.Keep(ctx, func(err error) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "the history of a topic can't be stored yet", slog.Any("err", err))
		})
		return nil
	})
}

// trash is where deleted retained messages wait to be put back.
func (s *server) trash() feed.Trash {
	if s.options.Broker().Durability == broker.Memory || s.unkept != nil {
		return new(feed.MemoryTrash)
	}
	return s.db.Trash()
}
