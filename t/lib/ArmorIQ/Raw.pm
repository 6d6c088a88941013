package ArmorIQ::Raw;

# Bytes as they are, in both directions: dialogs with several servers at once
# that keep all they were answered, and an upstream that keeps all it was
# sent.  For tests that compare one nginx with another.
#
#     my @in = dialog([ '127.0.0.1', '127.0.0.2' ], $port, \@script);
#
# A script is run against each address: text is sent, a regex is waited for in
# what has come, a reference to a number is a pause, and a sub ($conn, $i) is
# waited for until it is true.  Then all is read until the peer closes, or,
# with open => 1, nothing more is.  Undef stands for a dialog without an end.

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw/:flock/;
use IO::Select;
use IO::Socket::INET;
use Socket qw/IPPROTO_TCP TCP_NODELAY/;
use Time::HiRes qw/sleep time/;

use ArmorIQ;
use ArmorIQ::HTTP2;

our @EXPORT = qw/dialog h1_text h2_script h2_text raw_upstream raw_seen/;

use constant { DATA => 0, HEADERS => 1, RST => 3, SETTINGS => 4, PING => 6,
               GOAWAY => 7, UPDATE => 8, CONTINUATION => 9 };

# of the static table of HPACK

use constant INDEX_DATE => 33;


# dialogs

sub dialog {
    my ($hosts, $port, $script, %o) = @_;
    my $end = time() + ($o{timeout} || $ENV{TEST_NGINX_TIMEOUT} || 10);

    local $SIG{PIPE} = 'IGNORE';

    my @conns = map { connect_to($_, $port) } @$hosts;

    $conns[$_]{i} = $_ for 0 .. $#conns;

    while (time() < $end) {
        advance($_, $script, $o{open}) for grep { !$_->{done} } @conns;

        my @left = grep { !$_->{done} } @conns or last;
        my @write = grep { length $_->{out} } @left;
        my $wait = grep({ $_->{resume} } @left) ? 0.01 : 0.2;

        my ($r, $w) = IO::Select->select(
            IO::Select->new(map { $_->{sock} } @left),
            IO::Select->new(map { $_->{sock} } @write), undef, $wait);

        for my $conn (@left) {
            put($conn) if grep { $_ == $conn->{sock} } @{ $w || [] };
            get($conn) if grep { $_ == $conn->{sock} } @{ $r || [] };
        }
    }

    return map { $_->{done} ? $_->{in} : undef } @conns;
}

sub connect_to {
    my ($host, $port) = @_;

    my $sock = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port,
                                     LocalAddr => '127.0.0.1', Timeout => 5)
        or return { done => 1, in => '', out => '' };

    $sock->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    $sock->blocking(0);

    return { sock => $sock, in => '', out => '', at => 0 };
}

sub advance {
    my ($conn, $script, $open) = @_;

    while (!length $conn->{out}) {
        my $item = $script->[$conn->{at}];

        if (!defined $item) {
            $conn->{done} = 1 if $open;
            return;
        }

        if (ref $item eq 'Regexp') {
            return if $conn->{in} !~ $item;

        } elsif (ref $item eq 'CODE') {
            return if !$item->($conn, $conn->{i});

        } elsif (ref $item eq 'SCALAR') {
            $conn->{resume} ||= time() + $$item;

            return if time() < $conn->{resume};
            delete $conn->{resume};

        } else {
            $conn->{out} = $item;
        }

        $conn->{at}++;
    }
}

sub put {
    my ($conn) = @_;
    my $n = syswrite $conn->{sock}, $conn->{out};

    # the answer may be there even so

    $n = length $conn->{out} if !defined $n && !$!{EAGAIN};

    substr $conn->{out}, 0, $n || 0, '';
}

sub get {
    my ($conn) = @_;
    my $n = sysread $conn->{sock}, $conn->{in}, 65536, length $conn->{in};

    return if !defined $n && $!{EAGAIN};

    if (!$n) {
        $conn->{done} = 1;
        close $conn->{sock};
    }
}

# All of an answer, but for the time and for the boundary of parts, which is a
# number that each nginx counts for itself; with $join without the sizes of its
# chunks.

sub h1_text {
    my ($raw, $join) = @_;

    $raw =~ s/^Date: (?!.* 1994 )[\w, :]{25} GMT\r$/Date: (now)\r/gm;
    $raw =~ s/\b\d{20}\b/(boundary)/g;

    if ($join && $raw =~ /^Transfer-Encoding: chunked\r$/m) {
        my ($head, $body) = split /(?<=\r\n\r\n)/, $raw, 2;

        $raw = $head;

        while ($body =~ s/^([0-9a-f]+)\r\n//) {
            $raw .= substr $body, 0, hex $1, '';
            $body =~ s/^\r\n// or last;
        }

        $raw .= "(the rest)$body";
    }

    return $raw;
}


# HTTP/2: one request on stream 1, and a ping that is answered last

sub h2_script {
    my ($headers, $body, @during) = @_;
    my $block = join '', map { ArmorIQ::HTTP2::literal(@$_) } @$headers;
    my $out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    # the largest window for what is answered

    $out .= ArmorIQ::HTTP2::frame(SETTINGS, 0, 0, pack 'nN', 4, 0x7fffffff)
        . ArmorIQ::HTTP2::frame(UPDATE, 0, 0, pack 'N', 0x7fff0000 - 65535)
        . ArmorIQ::HTTP2::frame(HEADERS, 4 | (defined $body ? 0 : 1), 1,
                                $block);

    my @parts = defined $body ? $body =~ /(.{1,16384})/gs : ();

    push @parts, '' if defined $body && !@parts;

    for my $i (0 .. $#parts) {
        $out .= ArmorIQ::HTTP2::frame(DATA, $i == $#parts ? 1 : 0, 1,
                                      $parts[$i]);
    }

    return ($out, @during, sub { ended($_[0]) },
            ArmorIQ::HTTP2::frame(PING, 0, 0, 'the last'),
            sub { ended($_[0], 1) });
}

sub ended {
    my ($conn, $ping) = @_;

    for my $f (frames($conn->{in})) {
        my ($type, $flags, $stream) = @$f;

        return 1 if $type == GOAWAY;
        return 1 if $type == PING && $flags & 1;
        next if $ping || $stream != 1;
        return 1 if $type == RST || $type <= HEADERS && $flags & 1;
    }

    return 0;
}

sub frames {
    my ($in) = @_;
    my ($off, @frames) = (0);

    while (length($in) >= $off + 9) {
        my $n = unpack 'N', "\0" . substr $in, $off, 3;
        my ($type, $flags, $stream) = unpack 'CCN', substr $in, $off + 3, 6;

        last if length $in < $off + 9 + $n;

        push @frames, [ $type, $flags, $stream, substr $in, $off + 9, $n ];
        $off += 9 + $n;
    }

    return @frames;
}

# A line for each frame.  What depends on how bytes arrive is left out: where
# DATA is cut, and windows.

sub h2_text {
    my ($raw) = @_;
    my ($text, $block, $last) = ('', '', -1);

    for my $f (frames($raw)) {
        my ($type, $flags, $stream, $data) = @$f;

        next if $type == UPDATE || $type == PING;

        if ($type == DATA) {
            $text .= "DATA $stream\n" if $last != DATA;
            $text .= $data;
            $text .= "\nEND $stream\n" if $flags & 1;

        } elsif ($type == HEADERS || $type == CONTINUATION) {
            $block .= $data;

            if ($flags & 4) {
                $text .= "HEADERS $stream\n"
                    . join '', map { "$_\n" } fields($block);
                $block = '';
            }

            $text .= "END $stream\n" if $type == HEADERS && $flags & 1;

        } else {
            $text .= "frame $type $flags $stream " . unpack('H*', $data)
                . "\n";
        }

        $last = $type;
    }

    return $text;
}

# HPACK, as it was sent: names and values are not looked up, so that they are
# equal only if their encodings are

sub fields {
    my ($block) = @_;
    my @fields;

    while (length $block) {
        my $first = ord $block;

        if ($first & 0x80) {
            push @fields, 'indexed ' . integer(\$block, 7);
            next;
        }

        if (($first & 0xe0) == 0x20) {
            push @fields, 'size ' . integer(\$block, 5);
            next;
        }

        my $kind = $first & 0xc0 ? 'kept' : $first & 0x10 ? 'never' : 'plain';
        my $index = integer(\$block, $first & 0xc0 ? 6 : 4);
        my $name = $index || string(\$block);
        my $value = string(\$block);

        $value = '(now)' if $index == INDEX_DATE;
        push @fields, "$kind $name: $value";
    }

    return @fields;
}

sub integer {
    my ($s, $bits) = @_;
    my $max = (1 << $bits) - 1;
    my $n = ord(substr $$s, 0, 1, '') & $max;

    return $n if $n < $max;

    for (my $shift = 0; length $$s; $shift += 7) {
        my $byte = ord substr $$s, 0, 1, '';

        $n += ($byte & 127) << $shift;
        last if $byte < 128;
    }

    return $n;
}

sub string {
    my ($s) = @_;
    my $huffman = ord($$s) & 0x80;
    my $n = integer($s, 7);
    my $text = substr $$s, 0, $n, '';

    return $huffman ? '#' . unpack('H*', $text) : $text;
}


# the upstream

# Speaks HTTP, FastCGI, SCGI, uwsgi and memcached, as it is spoken to.  Answers
# are chosen by "u=NAME" in the request: %$answers: text to be sent, or a sub
# ($conn, $request) that sends it and returns whether to go on.  '' stands for
# all others.  Every request is kept in $file.

sub raw_upstream {
    my ($host, $port, $file, $answers) = @_;

    my $sock = IO::Socket::INET->new(LocalAddr => $host, LocalPort => $port,
                                     Listen => 128, ReuseAddr => 1)
        or die "listen $host:$port: $!";

    return ArmorIQ::accept_all($sock, sub {
        my ($c) = @_;

        local $SIG{PIPE} = 'IGNORE';

        $c->autoflush(1);
        $c->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);

        my $buf = '';
        1 while serve($c, \$buf, $file, $answers);
    });
}

sub raw_seen {
    my ($file) = @_;

    open my $f, '<:raw', $file or return;

    return map { chomp; pack 'H*', $_ } <$f>;
}

# a whole request, or what there was of it when the peer closed

sub serve {
    my ($c, $buf, $file, $answers) = @_;
    my $n;

    until (defined($n = complete($$buf))) {
        next if sysread $c, $$buf, 65536, length $$buf;

        keep($file, $$buf . '(cut off)') if length $$buf;
        return 0;
    }

    my $request = substr $$buf, 0, $n, '';
    my ($name) = $request =~ /[?&]u=(\w+)/;

    keep($file, $request);

    my $answer = $answers->{ defined $name ? $name : '' };

    return $answer->($c, $request) if ref $answer;
    return other($c, $request) if $request !~ m{ HTTP/1\.\d\r\n};

    $answer = $answers->{''} if !defined $answer;
    $answer =~ s/(?<=\r\n\r\n).*//s if $request =~ /^HEAD /;

    syswrite $c, $answer;

    return $request =~ m{^\S+ \S+ HTTP/1\.1}
           && $request !~ /^Connection: close\r$/mi
           && $answer =~ /^(?:Content-Length|Transfer-Encoding):/mi;
}

# how long the request is at the start of $s, undef if not all of it is there

sub complete {
    my ($s) = @_;
    my $n;

    return if length $s < 8;

    if ($s =~ /^(\d+):/) {
        $n = length($1) + 1 + $1 + 1;

        return if length $s < $n;

        $n += $1 if $s =~ /^\d+:CONTENT_LENGTH\0(\d+)\0/;

    } elsif ($s =~ /^\x01\x01/) {

        # until the empty record of stdin

        for ($n = 0; length $s >= $n + 8; ) {
            my ($type, $len, $pad) = unpack 'xCx2nC', substr $s, $n, 8;

            $n += 8 + $len + $pad;
            return $n <= length $s ? $n : undef if $type == 5 && !$len;
        }

        return;

    } elsif ($s =~ /^\0/) {
        $n = 4 + unpack 'xv', $s;

        return if length $s < $n;

        $n += $1 if $s =~ /CONTENT_LENGTH..(\d+)/s;

    } elsif ($s =~ /^get \S+\r\n/) {
        $n = $+[0];

    } else {
        $s =~ /\r\n\r\n/ or return;
        $n = $+[0];

        my $head = substr $s, 0, $n;

        if ($head =~ /^Transfer-Encoding: chunked\r$/mi) {
            pos($s) = $n;

            while ($s =~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/gc) {
                $n = pos($s) + hex($1) + 2;

                return $n <= length $s ? $n : undef if hex $1 == 0;
                return if $n > length $s;

                pos($s) = $n;
            }

            return;
        }

        $n += $1 if $head =~ /^Content-Length: (\d+)\r$/mi;
    }

    return $n <= length $s ? $n : undef;
}

# one short answer in each of the other protocols

sub other {
    my ($c, $request) = @_;
    my $cgi = "Status: 200 fine\r\nContent-Type: text/plain\r\nX-A: 1\r\n\r\n"
              . "answer\n";

    if ($request =~ /^get (\S+)/) {
        syswrite $c, "VALUE $1 0 7\r\nanswer\n\r\nEND\r\n";
        return 1;
    }

    if ($request =~ /^\x01\x01/) {
        $cgi = pack('CCnnCC', 1, 6, 1, length $cgi, 0, 0) . $cgi
            . pack('CCnnCC', 1, 6, 1, 0, 0, 0)
            . pack('CCnnCCNC4', 1, 3, 1, 8, 0, 0, 0, 0, 0, 0, 0);
    }

    syswrite $c, $cgi;

    return 0;
}

sub keep {
    my ($file, $request) = @_;

    open my $f, '>>:raw', $file or return;
    flock $f, LOCK_EX;
    syswrite $f, unpack('H*', $request) . "\n";
    close $f;
}

1;
