#!/bin/sh
# Makes speech.wav, the demo's audio: 16 kHz, mono, 16 bits, about five seconds
# of a text of our own, spoken by espeak-ng. Needs espeak-ng and sox.
#
#     examples/audio/make.sh
set -eu
cd "$(dirname "$0")"

for tool in espeak-ng sox; do
    command -v "$tool" >/dev/null || {
        echo "make.sh: $tool is missing: apt-get install espeak-ng sox" >&2
        exit 1
    }
done

text='These words went through a ring, over a socket and into a file. None was lost.'

spoken=$(mktemp --suffix .wav)
trap 'rm -f "$spoken"' EXIT
espeak-ng -v en-gb -s 150 -w "$spoken" "$text"

# espeak-ng speaks at 22,050 Hz. -R seeds the dither alike each time, so that
# the same voice gives the same file.
sox -R "$spoken" -r 16000 -c 1 -b 16 -e signed-integer speech.wav norm -3
sox --i speech.wav
