package ArmorIQ::HTTP2;

# One request over HTTP/2 without TLS, in core Perl.
#
#     my $r = h2($port, '/mcp', body => '...', headers => "A: b\r\n");
#
# Returns what http_parse() returns.  Not curl: several versions of it lose an
# answer that comes before the body was sent, which is when a refusal comes.
#
# method => ..., frames => [...] (the body in DATA frames of its own, the last
# ends the stream), pause => seconds between them, timeout => seconds.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw/sleep time/;

use ArmorIQ;
use ArmorIQ::HPACK;

our @EXPORT = qw/h2/;

use constant { DATA => 0, HEADERS => 1, RST => 3, SETTINGS => 4,
               GOAWAY => 7, UPDATE => 8, CONTINUATION => 9 };


sub h2 {
    my ($port, $path, %o) = @_;

    my @body = $o{frames} ? @{ $o{frames} }
                          : defined $o{body} ? $o{body} : ();
    my $method = $o{method} || (@body ? 'POST' : 'GET');

    my $sock = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                     Timeout => 5)
        or return http_parse('');

    local $SIG{PIPE} = 'IGNORE';

    my $self = {
        sock => $sock, in => '', out => '',
        status => 0, head => '', body => '',
        window => 65535, initial => 65535, all => 65535, done => 0,
        end => time() + ($o{timeout} || 5),
    };

    my @headers = ([ ':method', $method ], [ ':path', $path ],
                   [ ':scheme', 'http' ], [ ':authority', '127.0.0.1' ]);

    push @headers, [ lc $1, $2 ]
        while ($o{headers} || '') =~ /^([^:\r\n]+):[ ]*(.*?)\r?$/mg;

    push @headers, [ 'content-length', length $body[0] ]
        if @body == 1 && !$o{frames};

    $self->{out} = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0)
        . frame(HEADERS, 4 | (@body ? 0 : 1), 1,
                join '', map { literal(@$_) } @headers);

    for my $i (0 .. $#body) {
        sleep $o{pause} if $i && $o{pause};
        send_data($self, $body[$i], $i == $#body);
    }

    pump($self) while !$self->{done} && time() < $self->{end};

    return http_parse("HTTP/1.1 $self->{status} \r\n$self->{head}\r\n"
                      . $self->{body});
}

sub frame {
    my ($type, $flags, $stream, $data) = @_;

    $data = '' if !defined $data;

    return substr(pack('N', length $data), 1)
           . pack('CCN', $type, $flags, $stream) . $data;
}

# without index, without Huffman code

sub literal {
    my ($name, $value) = @_;

    return "\0" . number(length $name) . $name . number(length $value)
           . $value;
}

sub number {
    my ($n) = @_;

    return chr $n if $n < 127;

    my $s = chr 127;

    for ($n -= 127; $n >= 128; $n >>= 7) {
        $s .= chr($n & 127 | 128);
    }

    return $s . chr $n;
}

# as much as the two windows allow, until all has gone or was refused

sub send_data {
    my ($self, $data, $last) = @_;
    my $off = 0;

    while (1) {
        my $left = length($data) - $off;
        my ($n) = sort { $a <=> $b } $left, 16384, $self->{window},
                  $self->{all};

        if ($n > 0 || $left == 0) {
            $self->{out} .= frame(DATA, $last && $n == $left ? 1 : 0, 1,
                                  substr $data, $off, $n);
            $off += $n;
            $self->{$_} -= $n for qw/window all/;
        }

        my $gone = $off == length $data;

        # what has come already may give more room, or say that it is over

        pump($self, $gone || $self->{window} > 0 && $self->{all} > 0 ? 0
                                                                 : undef);

        return if $gone || $self->{done} || time() >= $self->{end};
    }
}

# writes what is to be written, reads what is there

sub pump {
    my ($self, $wait) = @_;
    my $sock = $self->{sock};

    while (length $self->{out}) {
        my $n = syswrite $sock, $self->{out};

        if (!$n) {
            $self->{out} = '';
            last;
        }

        substr($self->{out}, 0, $n, '');
    }

    $wait = $self->{end} - time() if !defined $wait;

    return if !IO::Select->new($sock)->can_read($wait > 0 ? $wait : 0);

    if (!sysread $sock, $self->{in}, 65536, length $self->{in}) {
        $self->{done} = 1;
        return;
    }

    while (length $self->{in} >= 9) {
        my $n = unpack 'N', "\0" . substr $self->{in}, 0, 3;

        return if length $self->{in} < 9 + $n;

        my ($type, $flags, $stream) = unpack 'x3CCN', $self->{in};

        take($self, $type, $flags, $stream, substr $self->{in}, 9, $n);
        substr($self->{in}, 0, 9 + $n, '');
    }
}

sub take {
    my ($self, $type, $flags, $stream, $data) = @_;

    if ($type == SETTINGS && !($flags & 1)) {
        while ($data =~ s/^(..)(....)//s) {
            my ($id, $value) = (unpack('n', $1), unpack('N', $2));

            next if $id != 4;

            $self->{window} += $value - $self->{initial};
            $self->{initial} = $value;
        }

        $self->{out} .= frame(SETTINGS, 1, 0);

    } elsif ($type == UPDATE) {
        $self->{ $stream ? 'window' : 'all' } += unpack 'N', $data;

    } elsif ($type == HEADERS) {
        for (hpack($data)) {
            my ($name, $value) = @$_;

            if ($name eq ':status') {
                $self->{status} = $value;
            } else {
                $self->{head} .= "$name: $value\r\n";
            }
        }

    } elsif ($type == DATA) {
        $self->{body} .= $data;
        $self->{out} .= frame(UPDATE, 0, $_, pack 'N', length $data)
            for length $data ? (0, 1) : ();

    } elsif ($type == RST || $type == GOAWAY) {
        $self->{done} = 1;
    }

    $self->{done} = 1 if $type <= HEADERS && $flags & 1;
}

1;
