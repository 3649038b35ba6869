package mosquitto

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// Limits of text files, in bytes.
const (
	maxLine     = 64 << 10
	maxTextFile = 64 << 20
)

var (
	errLongLine = errors.New("the line is longer than 64 KiB")
	errNUL      = errors.New("the line has a NUL in it")
	errBigFile  = errors.New("the file is larger than 64 MiB")
)

// lineReader cuts a text file into lines as Mosquitto does: at LF, with any CR and LF
// at the end taken off. It holds one line at a time.
type lineReader struct {
	br   *bufio.Reader
	line int // number of the line that next returned, from 1
	read int
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{br: bufio.NewReaderSize(r, maxLine)}
}

// next returns the next line. errLongLine and errNUL are about one line, reading may
// go on after them; io.EOF is the end; all others are final.
func (l *lineReader) next() (string, error) {
	b, err := l.br.ReadSlice('\n')
	l.read += len(b)
	if l.read > maxTextFile {
		return "", errBigFile
	}
	if len(b) == 0 && err != nil {
		return "", err
	}
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = l.br.ReadSlice('\n')
			if l.read += len(b); l.read > maxTextFile {
				return "", errBigFile
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return "", errLongLine
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	s := strings.TrimRight(string(b), "\r\n")
	if l.line == 1 {
		s = strings.TrimPrefix(s, "\ufeff") // editors of Windows put one there
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", errNUL
	}
	return s, nil
}

// each calls do for each line and turns what can't be read into notices of the given
// level. It reports whether the end of the file was reached.
func (l *lineReader) each(n *notices, level Level, do func(line int, text string)) bool {
	for {
		text, err := l.next()
		switch {
		case err == nil:
			do(l.line, text)
		case errors.Is(err, io.EOF):
			return true
		case errors.Is(err, errLongLine), errors.Is(err, errNUL):
			n.add(l.line, level, "", "%v", err)
		default:
			n.add(l.line, Broken, "", "can't be read: %v", err)
			return false
		}
	}
}

// word cuts the first word off s. Only the space separates, a tab does not.
func word(s string) (first, rest string) {
	s = strings.TrimLeft(s, " ")
	first, rest, _ = strings.Cut(s, " ")
	return first, rest
}
