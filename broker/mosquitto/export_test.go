package mosquitto

// ReadDatabaseWithin is ReadDatabase with another bound on what is kept.
var ReadDatabaseWithin = readDatabase
