package access_test

import (
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/access/accesstest"
)

func TestBans(t *testing.T) {
	accesstest.TestBans(t, func(tb testing.TB) (access.BanRepository, func() int) {
		repo := access.NewMemoryRepository()
		return repo, func() int {
			list, err := repo.Audit(tb.Context(), access.AuditQuery{Limit: 100})
			if err != nil {
				tb.Fatal(err)
			}
			return len(list)
		}
	})
}
