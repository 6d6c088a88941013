package ArmorIQ::HPACK;

# Header blocks of HTTP/2 as nginx writes them (RFC 7541): static table,
# literals, Huffman code; nothing of a dynamic table, which nginx does not use.
#
#     my @headers = hpack($block);        # ([name, value], ...)

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw/hpack/;

# RFC 7541, Appendix A; those without a name here are never sent by nginx

my %names = (
    (map { $_ => ':status' } 8 .. 14),
    21 => 'age', 22 => 'allow', 24 => 'cache-control',
    26 => 'content-encoding', 28 => 'content-length', 30 => 'content-range',
    31 => 'content-type', 33 => 'date', 34 => 'etag', 36 => 'expires',
    44 => 'last-modified', 46 => 'location', 53 => 'retry-after',
    54 => 'server', 59 => 'vary', 61 => 'www-authenticate',
);

my %values = (8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400, 13 => 404,
              14 => 500);

# RFC 7541, Appendix B: the code is canonical, so the characters of each length
# say it all; longer ones do not occur in headers

my %lengths = (
    5 => '012aceiost',
    6 => ' %-./3456789=A_bdfghlmnpru',
    7 => ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz',
    8 => '&*,;XZ',
    10 => '!"()?',
    11 => "'+|",
    12 => '#>',
    13 => "\0\$\@[]~",
    14 => '^}',
    15 => '<`{',
);

my %huffman = huffman();


sub huffman {
    my ($code, $before, %codes) = (0, 5);

    for my $length (sort { $a <=> $b } keys %lengths) {
        $code <<= $length - $before;
        $before = $length;

        $codes{ sprintf "%0${length}b", $code++ } = $_
            for split //, $lengths{$length};
    }

    return %codes;
}

sub hpack {
    my ($s) = @_;
    my @headers;

    while (length $s) {
        my $byte = ord $s;

        if ($byte & 0x80) {
            my $i = integer(\$s, 7);
            push @headers, [ name($i), $values{$i} ];
            next;
        }

        if (($byte & 0xe0) == 0x20) {
            integer(\$s, 5);            # size of a table that is not used
            next;
        }

        my $i = integer(\$s, $byte & 0x40 ? 6 : 4);
        my $name = $i ? name($i) : text(\$s);

        push @headers, [ $name, text(\$s) ];
    }

    return @headers;
}

sub name { exists $names{ $_[0] } ? $names{ $_[0] } : "static-$_[0]" }

sub integer {
    my ($s, $bits) = @_;
    my $max = (1 << $bits) - 1;
    my $n = ord(substr $$s, 0, 1, '') & $max;

    return $n if $n < $max;

    for (my $shift = 0; length $$s; $shift += 7) {
        my $byte = ord substr $$s, 0, 1, '';

        $n += ($byte & 127) << $shift;
        last if !($byte & 128);
    }

    return $n;
}

sub text {
    my ($s) = @_;
    my $packed = ord($$s) & 0x80;
    my $data = substr $$s, 0, integer($s, 7), '';

    return $data if !$packed;

    my ($out, $code) = ('', '');

    for (split //, unpack 'B*', $data) {
        $code .= $_;

        if (exists $huffman{$code}) {
            $out .= $huffman{$code};
            $code = '';
        }
    }

    # what is left must be padding

    return $code =~ /^1{0,7}\z/ ? $out : "undecodable";
}

1;
