package topic

func Covers(a, b string) bool                                             { return false }
func Overlaps(a, b string) bool                                           { return false }
func Remaining(filter string, allow, deny []string) (remains, exact bool) { return true, false }
func FullyAllowed(filter string, allow, deny []string) (all, exact bool)  { return false, false }
func Substitute(filter, user, clientID string) (string, bool)             { return "", false }
