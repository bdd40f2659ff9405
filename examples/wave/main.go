// Command wave draws WAV files in the terminal, 60 columns each: the height of
// a column is the loudest sample in that part of the file.
//
//	go run ./examples/wave recordings/*.wav
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	columns = 60
	rows    = 4
)

var blocks = []rune(" ▁▂▃▄▅▆▇█")

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: wave FILE.wav ...")
		os.Exit(2)
	}
	status := 0
	for _, path := range os.Args[1:] {
		if err := show(path); err != nil {
			fmt.Fprintf(os.Stderr, "wave: %s: %v\n", path, err)
			status = 1
		}
	}
	os.Exit(status)
}

func show(path string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rate, samples, err := parse(file)
	if err != nil {
		return err
	}
	fmt.Printf("%s  %.1f s at %d Hz\n", path, float64(len(samples))/float64(rate), rate)
	fmt.Print(draw(samples))
	return nil
}

// parse returns the sample rate and the samples of a mono 16-bit PCM file.
func parse(file []byte) (rate uint32, samples []int16, err error) {
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		return 0, nil, errors.New("not a WAV file")
	}
	for rest := file[12:]; len(rest) >= 8; {
		name, length := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:8]))
		chunk := rest[8:]
		if name == "data" && rate > 0 {
			chunk = chunk[:min(length, len(chunk))]
			samples = make([]int16, len(chunk)/2)
			for i := range samples {
				samples[i] = int16(binary.LittleEndian.Uint16(chunk[2*i:]))
			}
			return rate, samples, nil
		}
		if name == "fmt " && len(chunk) >= 16 {
			rate = binary.LittleEndian.Uint32(chunk[4:])
			if binary.LittleEndian.Uint16(chunk[2:]) != 1 || binary.LittleEndian.Uint16(chunk[14:]) != 16 {
				return 0, nil, errors.New("only mono files of 16 bits are drawn")
			}
		}
		length += length & 1 // chunks begin at even places
		if length > len(chunk) {
			break
		}
		rest = chunk[length:]
	}
	return 0, nil, errors.New("no audio in it")
}

// draw makes rows lines of block characters; a column of full height is a
// sample at full scale.
func draw(samples []int16) string {
	var heights [columns]int // in eighths of a row
	for column := range heights {
		peak := 0
		for _, s := range samples[column*len(samples)/columns : (column+1)*len(samples)/columns] {
			peak = max(peak, int(s), -int(s))
		}
		heights[column] = peak * rows * 8 / 32768
	}
	var b strings.Builder
	for row := rows - 1; row >= 0; row-- {
		b.WriteString("  ")
		for _, h := range heights {
			b.WriteRune(blocks[min(max(h-row*8, 0), 8)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
