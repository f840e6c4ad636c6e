# Bytes, written in hex.
def byte: . as $n | "0123456789abcdef" | .[($n / 16 | floor):][:1] + .[($n % 16):][:1];
def ascii: [explode[] | byte] | add // "";
def utf16: [explode[] | (. % 256 | byte), (. / 256 | floor | byte)] | add // "";

def digit: if . >= 97 then . - 87 else . - 48 end;
def number($at; $size): . as $hex | reduce range($size - 1; -1; -1) as $i (0;
    . * 256 + ($hex[($at + $i) * 2:][:2] | explode | (.[0] | digit) * 16 + (.[1] | digit)));
def text: . as $hex | [limit(200; range(0; length / 2; 2)) as $at | $hex | number($at; 2)]
    | .[:(index(0) // length)] | implode;

# Multi-valued properties of a 64-bit profile: size and place of each binary, place of each text.
def items: . as $hex | [range(0; number(0; 4)) | (. * 16) as $i
    | $hex | number($i + 4; 4) as $size | .[number($i + 12; 4) * 2:][:$size * 2]];
def texts: . as $hex | [range(0; number(0; 4)) | (. * 8) as $i | $hex | .[number($i + 4; 4) * 2:] | text];

# The same as a server sends them, [MS-OXCDATA] 2.11.1: each binary with its size before it, each text with its end.
def blobs: . as $hex | [foreach range(0; number(0; 4)) as $i ({next: 4}; .next as $at
    | ($hex | number($at; 2)) as $size | {item: $hex[($at + 2) * 2:][:$size * 2], next: ($at + 2 + $size)}; .item)];
def strings: . as $hex | [foreach range(0; number(0; 4)) as $i ({next: 4}; .next as $at
    | ($hex[$at * 2:] | text) as $text | {$text, next: ($at + 2 * ($text | length) + 2)}; .text)];
