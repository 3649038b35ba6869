package access_test

import (
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/access/accesstest"
)

func TestMemoryRepository(t *testing.T) {
	accesstest.TestRepository(t, func(testing.TB) access.Repository { return access.NewMemoryRepository() })
}
