package mosquitto

import "encoding/binary"

// EmptyDatabase is a mosquitto.db that holds nothing, as Mosquitto 1.6 to 2.1 read it.
func EmptyDatabase() []byte {
	b := append([]byte("\x00\xb5\x00mosquitto db"), 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 5)
	// One chunk: the last message number, shut down in order, the size of such numbers.
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint64(b, 0)
	return append(b, 1, 8, 0, 0, 0, 0, 0, 0)
}
