package access

// RulesFor is rulesFor for tests.
func RulesFor(publish, subscribe []string) []Rule {
	return rulesFor(facts{Publish: publish, Subscribe: subscribe})
}
